"""Log lines as text or as JSON. A record carries its fields as `extra={"fields": {...}}`.

Messages, fields and exceptions can hold text of other programs. The formatters escape every character that is not
printable, once, so that such text can neither forge a line nor control a terminal. A line has a bound as well.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from collections.abc import Iterator
from typing import Any, TextIO

from rtppool_core.process.log_limit import LimitedHandler

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("text", "json")
# The parents of all loggers of our code.
OWN_LOGGERS = ("rtppool_core", "rtppool_relay", "rtppool_echo", "rtppool_operator", "rtppool_callgen")

# Container runtimes split lines of more than 16 KiB.
MAX_LINE_CHARACTERS = 8192
MAX_TRACEBACK_CHARACTERS = 8192
MAX_MESSAGE_CHARACTERS = 1024
# Of each exception, the frames next to the error.
MAX_FRAMES = 16
MAX_CHAINED_EXCEPTIONS = 8
MAX_GROUPED_EXCEPTIONS = 4
CLIPPED = "…"

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")


def escape(text: str) -> str:
    r"""Escape control characters, line separators, bidirectional controls and lone surrogates, such as \n or \x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clip(text: str, max_characters: int) -> str:
    """Cut a text to a length, with a mark where it was longer."""
    return text if len(text) <= max_characters else text[: max_characters - len(CLIPPED)] + CLIPPED


def describe_exception(error: BaseException, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a traceback, causes first. A message of several lines is one line, escaped."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < MAX_CHAINED_EXCEPTIONS:
        yield from describe_exception(cause, depth + 1)
        yield "This exception led to the next one:"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        for frame in traceback.format_tb(error.__traceback__, limit=-MAX_FRAMES):
            yield from map(escape, frame.splitlines())
    yield clip(escape("".join(traceback.format_exception_only(error)).rstrip("\n")), MAX_MESSAGE_CHARACTERS)
    if isinstance(error, BaseExceptionGroup) and depth < MAX_CHAINED_EXCEPTIONS:
        for inner in error.exceptions[:MAX_GROUPED_EXCEPTIONS]:
            yield from (f"  {line}" for line in describe_exception(inner, depth + 1))


def _traceback(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    return clip("\n".join(describe_exception(error)), MAX_TRACEBACK_CHARACTERS) if error is not None else ""


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", {})
    return fields if isinstance(fields, dict) else {}


def _stamp(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


class JsonFormatter(logging.Formatter):
    """One JSON object per line, in ASCII: time, level, logger, message, the fields, and a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        head = {"time": _stamp(record), "level": record.levelname, "logger": record.name}
        body: dict[str, Any] = {"message": record.getMessage(), **_fields(record)}
        if traceback_text := _traceback(record):
            body["traceback"] = traceback_text
        line = _to_ascii_json({**head, **body})
        if len(line) <= MAX_LINE_CHARACTERS + MAX_TRACEBACK_CHARACTERS:
            return line
        # JSON escapes at most every character of an ASCII text, by one more.
        max_characters = MAX_LINE_CHARACTERS // (2 * len(body))
        return _to_ascii_json({**head, **{name: clip(ascii(value), max_characters) for name, value in body.items()}})


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value …`, and the lines of a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        pairs = "".join(f" {name}={value}" for name, value in _fields(record).items())
        head = f"{_stamp(record)} {record.levelname:<7} {record.name}: "
        line = clip(head + escape(record.getMessage() + pairs), MAX_LINE_CHARACTERS)
        return "\n".join(filter(None, (line, _traceback(record))))


def configure(level: str, log_format: str, stream: TextIO) -> None:
    """Send the records of this process to `stream`, in one of `FORMATS`. Libraries do not log at DEBUG."""
    handler = LimitedHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    debug = level == "DEBUG"
    logging.basicConfig(level=logging.INFO if debug else level, handlers=[handler], force=True)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.NOTSET)
    # A line per request is noise: metrics are scraped and the status is polled all day.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _to_ascii_json(value: Any) -> str:
    # Not by ensure_ascii: it writes a lone surrogate as half an escape, which strict parsers reject.
    return _NOT_PLAIN.sub(_json_escape, json.dumps(value, default=str, ensure_ascii=False))


def _json_escape(match: re.Match[str]) -> str:
    character = match[0]
    if character == "\x7f":
        return r"\u007f"
    escaped = json.dumps(character)[1:-1]
    return "\\" + escaped if "\ud800" <= character <= "\udfff" else escaped

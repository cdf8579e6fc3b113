"""Log lines as text or as JSON. A record carries its fields as `extra={"fields": {...}}`."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, TextIO

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("text", "json")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", {})
    return fields if isinstance(fields, dict) else {}


def _stamp(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the fields, and a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        line = {
            "time": _stamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_fields(record))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message key=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        pairs = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{_stamp(record)} {record.levelname:<7} {record.name}: {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: str, log_format: str, stream: TextIO) -> None:
    """Send the records of this process to `stream`, in one of `FORMATS`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # A line per request is noise: metrics are scraped and the status is polled all day.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)

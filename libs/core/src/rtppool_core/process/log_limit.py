"""A bound on the log lines of each cause, so that a peer that repeats a mistake cannot fill the disk.

The cause of a record is its logger, its level and its message template. Where one template serves several causes, a
record names its own: `extra={"cause": "FileLimit"}`. Every record of a program passes through the handler, so a call of
a logger needs nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

LIMIT_SECONDS = 60.0
# With the line that counts the rest, any 60 seconds have at most nine lines of one cause.
MAX_LINES = 4
# Records below WARNING are one for each call or configuration.
MAX_LINES_BELOW_WARNING = 6000
MAX_CAUSES = 256
MAX_CAUSE_CHARACTERS = 120
MORE_CAUSES = "further causes"

Cause = tuple[str, int, str]


@dataclass(slots=True)
class _Lines:
    written: int = 0
    suppressed: int = 0


class LineLimit:
    """Counts the lines of each cause in windows of `LIMIT_SECONDS`. The clock is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_seconds = clock()
        self._lines: dict[Cause, _Lines] = {}

    def admit(self, record: logging.LogRecord) -> bool:
        """Return whether the record's line is written, and count it."""
        cause = _cause_of(record)
        if cause not in self._lines and len(self._lines) >= MAX_CAUSES:
            cause = ("", logging.WARNING, MORE_CAUSES)
        lines = self._lines.setdefault(cause, _Lines())
        if lines.written < (MAX_LINES if cause[1] >= logging.WARNING else MAX_LINES_BELOW_WARNING):
            lines.written += 1
            return True
        lines.suppressed += 1
        return False

    def seconds_left(self) -> float:
        """Return the time until the window ends; 0 when it has ended."""
        return max(0.0, self._began_seconds + LIMIT_SECONDS - self._clock())

    def begin_window(self) -> list[logging.LogRecord]:
        """Begin the next window. Returns a record for each cause with suppressed lines."""
        reports = [_report(cause, lines.suppressed) for cause, lines in self._lines.items() if lines.suppressed]
        self._lines.clear()
        self._began_seconds = self._clock()
        return reports


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes records to a stream within a `LineLimit`. Suppressed lines are counted in one line at the window's end."""

    def __init__(self, stream: TextIO, limit: LineLimit | None = None) -> None:
        super().__init__(stream)
        self._limit = limit or LineLimit()
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, unless its cause has used up its lines."""
        if self._limit.seconds_left() == 0:
            self._end_window()
        if self._limit.admit(record):
            super().emit(record)
        elif self._timer is None:
            self._timer = threading.Timer(self._limit.seconds_left(), self._on_window_end)
            self._timer.daemon = True
            try:
                self._timer.start()
            except (RuntimeError, MemoryError):  # no thread can be started; the next record ends the window
                self._timer = None

    def close(self) -> None:
        """Report the lines that are still suppressed."""
        self._on_window_end()
        super().close()

    def _on_window_end(self) -> None:
        self.acquire()
        try:
            self._end_window()
        finally:
            self.release()

    def _end_window(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        for report in self._limit.begin_window():
            super().emit(report)


def _cause_of(record: logging.LogRecord) -> Cause:
    named = getattr(record, "cause", None)
    # asyncio and others format their messages themselves; the rest of the first line names addresses and objects.
    text = named if isinstance(named, str) else str(record.msg).partition("\n")[0]
    return record.name, record.levelno, text[:MAX_CAUSE_CHARACTERS]


def _report(cause: Cause, suppressed: int) -> logging.LogRecord:
    name, level, text = cause
    fields = {"suppressed": suppressed, "cause": text}
    message = f"more lines of this cause within {LIMIT_SECONDS:.0f} s were not written"
    return logging.makeLogRecord(
        {"name": name or __name__, "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
        | {"fields": fields}
    )

"""Exceptions of tasks, futures and callbacks that no code handled, as the event loops report them."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator

_YOUNG = 1


class _Reports(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lost: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "never retrieved" in message or message.startswith("Exception in callback"):
            self.lost.append(logging.Formatter().format(record))


@contextlib.contextmanager
def lost_exceptions(logger: str = "asyncio") -> Iterator[list[str]]:
    """Yield a list that holds a report of each lost exception at the end of the block."""
    reports = _Reports()
    logging.getLogger(logger).addHandler(reports)
    try:
        yield reports.lost
        # A task reports its exception when it is collected. A collection of all generations takes 0.1 s.
        gc.collect(_YOUNG)
    finally:
        logging.getLogger(logger).removeHandler(reports)

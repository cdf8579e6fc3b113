"""The memory that a part of a test allocates."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Allocated:
    """The most bytes allocated at once within the block; 0 before its end."""

    peak_bytes: int = 0


@contextlib.contextmanager
def allocated() -> Iterator[Allocated]:
    """Measure the block. Blocks that were freed within it count as well."""
    measured = Allocated()
    tracemalloc.start()
    try:
        yield measured
        measured.peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

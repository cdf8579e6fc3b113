"""The heap of the C library."""

from __future__ import annotations

import ctypes

RELEASE_SECONDS = 10.0


def release_free_pages() -> None:
    """Return pages without a block in use to the kernel (malloc_trim(3)); a C library without it keeps them.

    Columns of changing sizes leave holes between longer-lived blocks, and the heap grows by them for hours.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

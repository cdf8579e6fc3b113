"""Shortages of the kernel. Apart from `periodic`, because media processes load no event loop."""

from __future__ import annotations

import errno

# The kernel had no resources for a request that is otherwise valid. A later attempt may succeed.
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC, errno.EAGAIN})


def is_shortage(error: BaseException) -> bool:
    """Return whether the process or the kernel ran out of descriptors, memory, buffers or processes."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in SHORTAGES)

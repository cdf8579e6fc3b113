"""Exhaustion of this process's descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

_OWN_DESCRIPTORS = Path("/proc/self/fd")


@contextlib.contextmanager
def no_free_descriptor() -> Iterator[None]:
    """Let every request for a descriptor fail with EMFILE within the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in _OWN_DESCRIPTORS.iterdir())
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(2))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

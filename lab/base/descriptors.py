"""Descriptor exhaustion of a running process, through its limit of open files."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


def open_descriptors(pid: int) -> int:
    """Return the number of a process's descriptors; 0 after its end."""
    return len(_numbers(pid))


@contextmanager
def descriptors_exhausted(pids: Iterable[int]) -> Iterator[None]:
    """Lower each process's limit to its highest open descriptor for the length of the block.

    A process can then open only as many descriptors as it has gaps below. Open ones stay open.
    """
    with ExitStack() as stack:
        for pid in pids:
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            stack.callback(_restore, pid, (soft, hard))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(_numbers(pid), default=0) + 1, hard))
        yield


def _restore(pid: int, limits: tuple[int, int]) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    except ProcessLookupError:
        return  # the process ended meanwhile, which the run reports by its own means


def _numbers(pid: int) -> list[int]:
    try:
        return [int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []

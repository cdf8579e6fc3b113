"""Checks of the machine before a program starts anything. A machine that can't run it is one sentence and exit code 1.

This module imports little, because modules of the programs fail to import on such a machine.
"""

from __future__ import annotations

import mmap
import os
import select
import sys
from collections.abc import Callable

PAGE_BYTES = mmap.PAGESIZE


def require_linux(name: str) -> None:
    """Check that the calls of Linux that echo and relay are built on work here. `name` begins the sentence.

    Raises:
        SystemExit: one of them is missing or not permitted. The interpreter prints the sentence and exits with 1.
    """
    for call, attempt in _LINUX_CALLS.items():
        try:
            os.close(attempt())
        except AttributeError:
            raise SystemExit(
                f"{name}: this system ({sys.platform}) has no {call}; it needs Linux 5.3 or newer. "
                "On another system, run it in a container or a virtual machine with Linux."
            ) from None
        except OSError as error:
            raise SystemExit(
                f"{name}: {call} fails ({error.strerror}); it needs Linux 5.3 or newer, a sandbox (seccomp) that "
                "permits this call, and a free file descriptor (ulimit -n)."
            ) from None


def require_executable_memory(name: str) -> None:
    """Check that memory can be executed, which compiled code needs. `name` begins the sentence.

    Raises:
        SystemExit: it is not permitted. The interpreter prints the sentence and exits with 1.
    """
    try:
        mmap.mmap(-1, PAGE_BYTES, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError as error:
        raise SystemExit(
            f"{name}: this machine permits no executable memory ({error.strerror}), and the packet path is machine "
            "code; remove MemoryDenyWriteExecute from the systemd unit, or permit execmem in SELinux."
        ) from None


def _epoll() -> int:
    with select.epoll() as poller:
        return os.dup(poller.fileno())


_LINUX_CALLS: dict[str, Callable[[], int]] = {
    "memfd_create": lambda: os.memfd_create("check"),
    "epoll": _epoll,
    "pidfd_open": lambda: os.pidfd_open(os.getpid()),
}

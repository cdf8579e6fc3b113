"""SIGTERM and SIGINT before a program serves: the process ends at once, and its children with it.

The kernel discards a signal to process 1 of a container while no handler is installed, because its default action does
not apply there. Python needs up to some seconds to start and to import a program's modules. A pod whose stop is
discarded in that time serves on until its grace period ends. The programs therefore install this handler before all
other work, and so this module imports little. In the images, `tini` covers the time before Python runs this line.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# proc_pid_task(5): the children that a thread has started. Absent on other systems.
THREADS = "/proc/self/task"


def exit_on_signals() -> None:
    """End this process and its children with exit code 0 at SIGTERM or SIGINT, until other handlers are installed."""
    for number in STOP_SIGNALS:
        signal.signal(number, _exit)


@contextlib.contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Start a child that never receives SIGTERM and SIGINT: it inherits the blocked signals from its first moment.

    Its parent ends it by other means. A signal to a whole group or control group leaves it to its parent.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit(_number: int, _frame: object) -> None:
    for child in _children():
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
    os._exit(0)


def _children() -> list[int]:
    found: list[int] = []
    # Without pathlib, which would be imported before the handlers are installed.
    with contextlib.suppress(OSError):
        for thread in os.listdir(THREADS):  # noqa: PTH208
            with open(f"{THREADS}/{thread}/children", encoding="ascii") as children:  # noqa: PTH123
                found += map(int, children.read().split())
    return found

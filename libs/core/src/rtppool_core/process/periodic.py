"""Periodic jobs of a process that holds live calls: a failed round is reported and counted, and the next one follows.

No exception of a job leaves this module. A cause is reported when it first occurs, and again after a minute at the
earliest, so that a job that fails ten times a second does not fill the log.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
# A job counts as recovered when it has not failed for this long.
RECOVERED_SECONDS = 2.0
# A cause is logged at most once in this time, and so is the recovery from it.
REPORT_AGAIN_SECONDS = 60.0
# Causes of one job that are remembered. A job with more causes forgets the oldest one, and reports it again.
MAX_CAUSES = 16

_REMEDIES: Mapping[int, str] = {
    errno.EMFILE: "raise the limit of open files (ulimit -n, LimitNOFILE), or close idle connections to its HTTP port",
    errno.ENFILE: "raise fs.file-max on the node",
    errno.ENOMEM: "give it more memory, or end other processes on the node",
    errno.ENOBUFS: "give the node more memory for sockets",
    errno.ENOSPC: "free space, or raise fs.epoll.max_user_watches on the node",
    errno.EAGAIN: "raise the limit of processes (ulimit -u, pids.max)",
    errno.EACCES: "grant this user access",
    errno.EPERM: "grant this user the permission",
}
_BUG = "please report this with the traceback"

Job = Callable[[], object]
Cause = tuple[type[BaseException], int | None, str]


@dataclass(slots=True)
class _State:
    failures: int = 0
    failed_at_seconds: float = 0.0
    problem: str | None = None
    logged: bool = False
    logged_at_seconds: dict[Cause, float] = field(default_factory=dict)


class PeriodicJobs:
    """The jobs of one process, by name. `clock` is monotonic, in seconds.

    Rounds begin at whole multiples of `together_seconds` of the event loop's time, so that jobs share wake-ups. Without
    it, each job has its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, together_seconds: float | None = None) -> None:
        self._clock = clock
        self._together_seconds = together_seconds
        self._states: dict[str, _State] = {}

    def failures(self) -> dict[str, int]:
        """Return the number of failed rounds of each job that has run."""
        return {name: state.failures for name, state in self._states.items()}

    def problems(self) -> tuple[str, ...]:
        """Return a sentence for each job that fails at present."""
        return tuple(state.problem for state in self._states.values() if state.problem is not None)

    async def repeat(self, name: str, interval_seconds: float, job: Job) -> None:
        """Run a job now, and again `interval_seconds` after each round.

        Jobs that run together do so at the nearest time of all to `interval_seconds` after the beginning of a round.
        """
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self.attempt(name, job)
            await asyncio.sleep(self._pause(began, loop.time(), interval_seconds))

    def _pause(self, began: float, now: float, interval_seconds: float) -> float:
        together = self._together_seconds
        if together is None or interval_seconds < together:
            return interval_seconds
        return max(together / 2, round((began + interval_seconds) / together) * together - now)

    async def keep_running(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run an endless job, and start it again after it has failed or returned."""

        async def endless() -> None:
            await job()
            raise RuntimeError("the job returned, although it has no end")

        loop = asyncio.get_running_loop()
        while True:
            recovery = loop.call_later(RECOVERED_SECONDS, self._recover, name)
            try:
                await self.attempt(name, endless)
            finally:
                recovery.cancel()
            await asyncio.sleep(RESTART_SECONDS)

    async def attempt(self, name: str, job: Job) -> bool:
        """Run one round of a job; return False when it failed. Only a cancellation of this task is raised."""
        state = self._states.setdefault(name, _State())
        try:
            waiting = job()
            if isawaitable(waiting):
                await waiting
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._fail(name, state, error)
        except Exception as error:  # noqa: BLE001 the top of every periodic job
            self._fail(name, state, error)
        else:
            self._recover(name)
            return True
        return False

    def _fail(self, name: str, state: _State, error: BaseException) -> None:
        now = self._clock()
        state.failures += 1
        state.failed_at_seconds = now
        place = _place(error)
        file = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
        state.problem = (
            f"{name} failed at {place}: {describe_failure(error)}{file}; it is repeated. To mend it: {remedy(error)}"
        )
        cause = (type(error), error.errno if isinstance(error, OSError) else None, place)
        if now - state.logged_at_seconds.get(cause, float("-inf")) < REPORT_AGAIN_SECONDS:
            return
        state.logged_at_seconds.pop(cause, None)
        while len(state.logged_at_seconds) >= MAX_CAUSES:
            del state.logged_at_seconds[next(iter(state.logged_at_seconds))]
        state.logged_at_seconds[cause] = now
        state.logged = True
        known = isinstance(error, OSError | MemoryError)
        fields = {"job": name, "failures": state.failures}
        try:
            extra = {"fields": fields, "cause": f"{name} at {place}"}
            log.error("%s", state.problem, extra=extra, exc_info=None if known else error)
        except MemoryError:
            # The problem is in the status, and the next round reports it again.
            del state.logged_at_seconds[cause]

    def _recover(self, name: str) -> None:
        state = self._states.setdefault(name, _State())
        if state.problem is None or self._clock() - state.failed_at_seconds < RECOVERED_SECONDS:
            return
        state.problem = None
        if state.logged:
            state.logged = False
            fields = {"job": name, "failures": state.failures}
            log.info("%s works again", name, extra={"fields": fields, "cause": name})


def describe_failure(error: BaseException) -> str:
    """Return the error's type and message; a message may be empty."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def remedy(error: BaseException) -> str:
    """Return the remedy for an error of the operating system; any other error is a bug."""
    if isinstance(error, MemoryError):
        return _REMEDIES[errno.ENOMEM]
    if isinstance(error, OSError):
        return _REMEDIES.get(error.errno or 0, "check the host, and the path or address in this message")
    return _BUG


def _place(error: BaseException) -> str:
    """Return file and line of the innermost frame. Source files are not read: no descriptor may be free."""
    place = "an unknown place"
    for frame, line in traceback.walk_tb(error.__traceback__):
        place = f"{Path(frame.f_code.co_filename).name}:{line}"
    return place

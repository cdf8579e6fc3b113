"""Writes to the cluster: with a bound on how many run at once, and only with the lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.work_counters import WorkCounters

log = logging.getLogger(__name__)

T = TypeVar("T")
Write = Callable[[], Coroutine[Any, Any, T]]


class NotLeadingError(Exception):
    """Another operator may hold the lease before a write that starts now ends."""


class Writer:
    """Counts failures by action. Logs the first failure of an action and its recovery, not every repetition.

    A write that has started ends, also when the round that wants it is cancelled, because the API server may already
    have received it. `finish` waits for it, before another operator may write.
    """

    def __init__(self, leads: Callable[[], bool], counts: WorkCounters) -> None:
        self._leads = leads
        self.counts = counts
        self._last_failures: dict[str, str] = {}
        self._running: set[asyncio.Task[Any]] = set()

    async def finish(self) -> None:
        """Wait for the writes that have started."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def write(self, action: str, call: Write[T]) -> T:
        """Run one write.

        Raises:
            NotLeadingError: the lease was not renewed in time; nothing was written.
            ClusterError: the API server rejected the write or can't be reached, or the write failed otherwise.
        """
        if not self._leads():
            raise NotLeadingError(f"{action}: the lease was not renewed in time, so another operator may be writing")
        try:
            task = asyncio.create_task(call())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise
        except ClusterError:
            self.counts.errors[action] += 1
            raise
        except Exception as error:
            # One pool's write must not stop those of the others.
            self.counts.errors[action] += 1
            raise ClusterError(f"{action} failed unexpectedly: {error!r}") from error

    async def write_all(self, action: str, calls: Sequence[Write[T]], at_once: int) -> list[T | ClusterError]:
        """Run all writes, `at_once` at a time, and return their results in order. A failed one yields its error.

        Raises:
            NotLeadingError: the lease was not renewed in time; writes that had not started by then are dropped.
        """
        slots = asyncio.Semaphore(at_once)

        async def write_in_turn(call: Write[T]) -> T | ClusterError:
            async with slots:
                try:
                    return await self.write(action, call)
                except ClusterError as error:
                    return error

        results = await asyncio.gather(*map(write_in_turn, calls))
        if results:
            failures = [result for result in results if isinstance(result, ClusterError)]
            self._log_change(action, str(failures[0]) if failures else None)
        return results

    def _log_change(self, action: str, failure: str | None) -> None:
        if failure == self._last_failures.get(action):
            return
        if failure is None:
            del self._last_failures[action]
            log.info("%s: works again", action)
        else:
            self._last_failures[action] = failure
            log.warning("%s", failure)


def _log_failure(write: asyncio.Task[Any]) -> None:
    """Log the failure of a write whose round was cancelled."""
    if not write.cancelled() and (fault := write.exception()) is not None:
        log.warning("a write in progress at the end failed: %s", fault)

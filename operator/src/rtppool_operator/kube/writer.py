"""Writes to the cluster: in threads, so many at once, each for itself, and none without the lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TypeVar

from rtppool_operator.kube.cluster import ClusterError
from rtppool_operator.work_counters import WorkCounters

log = logging.getLogger(__name__)

T = TypeVar("T")


class NotLeadingError(Exception):
    """The lease may be another's before a write that would begin now has ended."""


class Writer:
    """Counts what fails by `what`, and says it once per change: the first failure of a kind, and that it is over."""

    def __init__(self, executor: Executor, leads: Callable[[], bool], counts: WorkCounters) -> None:
        self._executor = executor
        self._leads = leads
        self._counts = counts
        self._last_failures: dict[str, str] = {}

    async def blocking(self, call: Callable[[], T]) -> T:
        """Run a call that blocks."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def one(self, what: str, call: Callable[[], T]) -> T:
        """Write.

        Raises:
            NotLeadingError: the lease was not renewed in time; nothing was written.
            ClusterError: it was refused, or the API server can't be reached.
        """
        if not self._leads():
            raise NotLeadingError(f"{what}: the lease was not renewed in time, so another operator may be writing")
        try:
            return await self.blocking(call)
        except ClusterError:
            self._counts.errors[what] += 1
            raise

    async def each(self, what: str, calls: Sequence[Callable[[], T]], at_once: int) -> list[T | ClusterError]:
        """Write many, `at_once` of them at a time; a failure stands in its call's place and stops no other.

        Raises:
            NotLeadingError: the lease was not renewed in time; what had not begun by then was not written.
        """
        slots = asyncio.Semaphore(at_once)

        async def in_turn(call: Callable[[], T]) -> T | ClusterError:
            async with slots:
                try:
                    return await self.one(what, call)
                except ClusterError as error:
                    return error

        results = await asyncio.gather(*map(in_turn, calls))
        if results:
            failures = [result for result in results if isinstance(result, ClusterError)]
            self._report_change(what, str(failures[0]) if failures else None)
        return results

    def _report_change(self, what: str, failure: str | None) -> None:
        if failure == self._last_failures.get(what):
            return
        if failure is None:
            del self._last_failures[what]
            log.info("%s: works again", what)
        else:
            self._last_failures[what] = failure
            log.warning("%s", failure)

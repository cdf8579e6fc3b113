"""kopf's watch of pools, in the event loop of the operator and restarted whenever it ends.

kopf ends on errors that it can't handle: a 404, an error event of the watch, a failed login. `kopf.operator` then
cancels every task that began after it. So its tasks come from `kopf.spawn_tasks`, and end here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, repeat
from typing import Any

import kopf

log = logging.getLogger(__name__)

TAKE_POOL, APP = "take_pool", "app"
REQUEST_SECONDS, CONNECT_SECONDS = 10, 3
BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0)
# After this time a watch counts as healthy, and its end resets the backoff.
MIN_HEALTHY_SECONDS = 60.0
STOP_SECONDS = 5.0
MAX_REASON = 300

TakePool = Callable[[str, Mapping[str, Any]], None]


class EndlessBackoffs:
    """Seconds between attempts, without end: an API server may be down for an hour. kopf stops after the last one."""

    def __iter__(self) -> Iterator[float]:
        return chain(BACKOFF_SECONDS, repeat(BACKOFF_SECONDS[-1]))


class NoDifferences(kopf.DiffBaseStorage):
    """Keeps no earlier object: the operator's handlers take events, and kopf would copy each object to compare it."""

    def build(self, **_: Any) -> Any:
        """Return an empty object."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Return no earlier object."""

    def store(self, **_: Any) -> None:
        """Store nothing."""


def configure(settings: kopf.OperatorSettings) -> None:
    """Disable kopf's events and scans, and set short timeouts."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = NoDifferences()
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.networking.error_backoffs = EndlessBackoffs()
    # kopf would kill the process some minutes after an unexpected end. The operator restarts the watch instead.
    settings.process.ultimate_exiting_timeout = None


class KopfWatch:
    """Gives each event of a pool to `take_pool`. `restarts` counts unexpected ends of kopf.

    kopf takes SIGTERM and SIGINT at each start, and `keep_signals` takes them back.
    """

    def __init__(self, take_pool: TakePool, identity: str, keep_signals: Callable[[], None]) -> None:
        self._take_pool = take_pool
        self._identity = identity
        self._keep_signals = keep_signals
        self.restarts = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while True:
            began = time.monotonic()
            reason = await self._kopf()
            self.restarts += 1
            log.warning("the watch of pools ended and restarts: %s", reason)
            failures = 0 if time.monotonic() - began > MIN_HEALTHY_SECONDS else failures + 1
            await asyncio.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])

    async def _kopf(self) -> str:
        """Run kopf until one of its tasks ends; return why it did."""
        memo: Any = kopf.Memo()
        memo[TAKE_POOL] = self._take_pool
        tasks = await kopf.spawn_tasks(
            registry=kopf.get_default_registry(),
            # kopf's default needs a user name, and the container's user has a number only.
            identity=self._identity,  # type: ignore[arg-type] # kopf does not export the type
            clusterwide=True,
            standalone=True,
            memo=memo,
        )
        self._keep_signals()
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        return _reason(tasks)


def _reason(tasks: Collection[asyncio.Task[Any]]) -> str:
    """Return the exceptions of tasks as a text."""
    errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    return ", ".join(repr(error) for error in errors if error is not None)[:MAX_REASON] or "without a reason"

"""kopf's watch of pools, in its own thread and restarted whenever it ends.

kopf ends on errors that it can't handle: a 404, an error event of the watch, a failed login. It then cancels every task
of its event loop, so it runs in a separate loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import kopf

log = logging.getLogger(__name__)

SEEN, APP = "seen", "app"
REQUEST_SECONDS, CONNECT_SECONDS = 10, 3
BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0)
# After this time a watch counts as healthy, and its end resets the backoff.
MIN_HEALTHY_SECONDS = 60.0
JOIN_SECONDS = 5.0
MAX_REASON = 300

PoolSeen = Callable[[str, int | None, str | None], None]


class EndlessBackoffs:
    """Seconds between attempts, without end: an API server may be down for an hour. kopf stops after the last one."""

    def __iter__(self) -> Iterator[float]:
        yield from BACKOFF_SECONDS
        while True:
            yield BACKOFF_SECONDS[-1]


def configure(settings: kopf.OperatorSettings) -> None:
    """Disable kopf's events and scans, and set short timeouts."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.networking.error_backoffs = EndlessBackoffs()
    # kopf would kill the process some minutes after an unexpected end. The operator restarts the watch instead.
    settings.process.ultimate_exiting_timeout = None


class KopfWatch:
    """Calls `seen` in its own thread. `restarts` counts unexpected ends, and `problem` describes the last one."""

    def __init__(self, seen: PoolSeen, identity: str, registry: kopf.OperatorRegistry | None = None) -> None:
        self._seen = seen
        self._identity = identity
        self._registry = registry
        self._ended = threading.Event()
        self._kopf_loop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread: threading.Thread | None = None
        self.restarts = 0
        self.problem: str | None = None

    @property
    def alive(self) -> bool:
        """Whether kopf runs or is about to restart."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the watch, or start it again after its thread has ended.

        Raises:
            RuntimeError: the machine has no thread left.
        """
        if self._thread is not None:
            self.restarts += 1
        thread = threading.Thread(target=self._watch_forever, name="pool-watch", daemon=True)
        thread.start()
        self._thread = thread

    def restart(self) -> None:
        """Replace a watch that delivers nothing."""
        current = self._kopf_loop
        if current is not None:
            loop, stop = current
            with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                loop.call_soon_threadsafe(stop.set)

    def stop(self) -> None:
        """Stop the watch, and wait for up to 5 s."""
        self._ended.set()
        self.restart()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def _watch_forever(self) -> None:
        failures = 0
        while not self._ended.is_set():
            began = time.monotonic()
            problem = self._watch()
            if self._ended.is_set():
                return
            self.restarts += 1
            self.problem = f"the watch of pools ended and restarts: {problem}"
            log.warning("%s", self.problem)
            failures = 0 if time.monotonic() - began > MIN_HEALTHY_SECONDS else failures + 1
            self._ended.wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])

    def _watch(self) -> str:
        try:
            asyncio.run(self._kopf())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 any end of kopf is logged, and the watch restarts
            return repr(error)[:MAX_REASON]
        return "on request"

    async def _kopf(self) -> None:
        # Not a threading.Event, because kopf waits for one in a thread that can't be cancelled.
        stop = asyncio.Event()
        self._kopf_loop = (asyncio.get_running_loop(), stop)
        if self._ended.is_set():
            return
        memo: Any = kopf.Memo()
        memo[SEEN] = self._seen
        await kopf.operator(
            registry=self._registry or kopf.get_default_registry(),
            # kopf's default needs a user name, and the container's user has a number only.
            identity=self._identity,  # type: ignore[arg-type] # kopf does not export the type
            clusterwide=True,
            standalone=True,
            stop_flag=stop,
            memo=memo,
        )

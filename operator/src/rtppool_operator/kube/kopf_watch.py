"""kopf's watch of pools, in a thread of its own and started again whenever it ends.

kopf ends on what it can't handle (a 404, an error event of the watch, a login that fails), and takes with it every task
that its event loop has: so it gets a loop that has nothing else.
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

SEEN, RUNNING = "seen", "running"
REQUEST_SECONDS, CONNECT_SECONDS = 10, 3
BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0)
# A watch that lived as long had begun well.
MIN_HEALTHY_SECONDS = 60.0
JOIN_SECONDS = 5.0
MAX_REASON = 300

PoolSeen = Callable[[str, int | None, str | None], None]


class EndlessBackoffs:
    """Seconds between tries of a request, for ever: an API server may be away for an hour. kopf ends when they do."""

    def __iter__(self) -> Iterator[float]:
        yield from BACKOFF_SECONDS
        while True:
            yield BACKOFF_SECONDS[-1]


def configure(settings: kopf.OperatorSettings) -> None:
    """Write nothing, look for nothing, and never wait long."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.networking.error_backoffs = EndlessBackoffs()
    # kopf kills its process some minutes after an end that was not asked for; ours goes on.
    settings.process.ultimate_exiting_timeout = None


class KopfWatch:
    """Calls `seen` in its own thread. `restarts` counts ends nobody asked for, `problem` tells of the last."""

    def __init__(self, seen: PoolSeen, identity: str, registry: kopf.OperatorRegistry | None = None) -> None:
        self._seen = seen
        self._identity = identity
        self._registry = registry
        self._ended = threading.Event()
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(target=self._watch_forever, name="pool-watch", daemon=True)
        self.restarts = 0
        self.problem: str | None = None

    @property
    def alive(self) -> bool:
        """Whether kopf runs, or is about to be started again."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def restart(self) -> None:
        """End the watch as it is, for another one: this one brings nothing."""
        running = self._running
        if running is not None:
            loop, stop = running
            with contextlib.suppress(RuntimeError):  # its loop has ended by itself in this moment
                loop.call_soon_threadsafe(stop.set)

    def end(self) -> None:
        """Stop, and wait for it a little."""
        self._ended.set()
        self.restart()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def _watch_forever(self) -> None:
        failures = 0
        while not self._ended.is_set():
            began = time.monotonic()
            problem = self._watch()
            if self._ended.is_set():
                return
            self.restarts += 1
            self.problem = f"the watch of pools ended and is begun anew: {problem}"
            log.warning("%s", self.problem)
            failures = 0 if time.monotonic() - began > MIN_HEALTHY_SECONDS else failures + 1
            self._ended.wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])

    def _watch(self) -> str:
        try:
            asyncio.run(self._kopf())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 whatever ends kopf, it is told and begun anew
            return repr(error)[:MAX_REASON]
        return "it was asked to"

    async def _kopf(self) -> None:
        # Not a threading.Event: kopf would wait for it in a thread that can't be cancelled.
        stop = asyncio.Event()
        self._running = (asyncio.get_running_loop(), stop)
        if self._ended.is_set():
            return
        memo: Any = kopf.Memo()
        memo[SEEN] = self._seen
        await kopf.operator(
            registry=self._registry or kopf.get_default_registry(),
            # kopf's own guess asks for the user's name, which a container's number has not.
            identity=self._identity,  # type: ignore[arg-type] # kopf does not export the type
            clusterwide=True,
            standalone=True,
            stop_flag=stop,
            memo=memo,
        )

"""The permanent connection to Asterisk: connect, compare, process events, and reconnect after every loss."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from rtppool_core.contract.report import AriReport, AriState
from rtppool_relay.ari.errors import AriError, AriUnauthorized, AriUnreachable
from rtppool_relay.ari.messages import AriEvent, Replaced
from rtppool_relay.ari.rest import AriClient

log = logging.getLogger(__name__)

MIN_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 2.0
JITTER = (0.5, 1.0)
SWEEP_SECONDS = 10.0


class Calls(Protocol):
    """The calls, as the session uses them."""

    def handle(self, event: AriEvent) -> None:
        """Process an event."""

    async def compare(self, *, only_ends: bool = False) -> None:
        """Resolve the differences to Asterisk's channels and bridges."""

    async def wait_for_compare(self, max_seconds: float) -> None:
        """Return after `max_seconds`, or sooner where there is a reason to compare."""


class AriSession:
    """The registration of one application at Asterisk, and the calls' source of events.

    `wall_ns` returns Unix time in ns, `uniform` a random number between two bounds.
    """

    def __init__(
        self,
        client: AriClient,
        url: str,
        application: str,
        calls: Calls,
        wall_ns: Callable[[], int],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._client = client
        self._url = url
        self._application = application
        self._calls = calls
        self._wall_ns = wall_ns
        self._uniform = uniform
        self._state: AriState = "Unreachable"
        self._reason: str | None = f"ARI_URL={url} has not been connected yet"
        self._since_ns = wall_ns()
        self._connections = 0

    def report(self) -> AriReport:
        """Return the state of the connection."""
        return AriReport(
            state=self._state,
            reconnects=max(0, self._connections - 1),
            url=self._url,
            application=self._application,
            since_unix_seconds=self._since_ns // 1_000_000_000,
            reason=self._reason,
            events_ignored=self._client.events_ignored,
        )

    async def run(self) -> None:
        """Stay connected until cancelled. The first attempt is immediate."""
        pause = MIN_PAUSE_SECONDS
        while True:
            connections = self._connections
            try:
                replaced = await self._connect()
            except AriUnauthorized as error:
                self._set_state("Unauthorized", str(error))
            except AriError as error:
                self._set_state("Unreachable", str(error))
            else:
                if replaced:
                    await self._wait_until_unregistered()
            if self._connections > connections:
                pause = MIN_PAUSE_SECONDS
            # Relays that lost the same Asterisk do not reconnect in step.
            await asyncio.sleep(pause * self._uniform(*JITTER))
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def _connect(self) -> bool:
        """Hold one connection to its end. Return True when another client took the application over.

        Raises:
            AriError: the connection failed.
        """
        async with self._client.events(self._application) as events:
            # Events that arrive meanwhile wait in the queue.
            await self._calls.compare()
            self._connections += 1
            self._set_state("Connected", None)
            sweeper = asyncio.create_task(self._sweep())
            try:
                async for event in events:
                    if isinstance(event, Replaced) and event.application == self._application:
                        self._set_state("Replaced", self._replaced_reason())
                        return True
                    self._calls.handle(event)
            finally:
                sweeper.cancel()
                await asyncio.gather(sweeper, return_exceptions=True)
        raise AriUnreachable(
            f"ARI_URL={self._url}: Asterisk closed the connection; was it stopped? A slow reader is cut as well, see "
            "websocket_write_timeout in ari.conf"
        )

    async def _sweep(self) -> None:
        """Compare at intervals, for changes without an event. Of failures in a row only the first one is logged."""
        failing = False
        while True:
            await self._calls.wait_for_compare(SWEEP_SECONDS)
            try:
                await self._calls.compare()
            except AriError as error:
                if not failing:
                    log.warning("calls could not be compared with Asterisk; the next attempt follows: %s", error)
                failing = True
            else:
                failing = False

    async def _wait_until_unregistered(self) -> None:
        """Wait until the other client has left: two clients would take the application from each other without end.

        Calls that end meanwhile are still detected.
        """
        while True:
            await asyncio.sleep(MAX_PAUSE_SECONDS)
            await self._find_ended_calls()
            try:
                if not await self._client.application_exists(self._application):
                    return
            except AriError as error:
                self._set_state("Unreachable", str(error))
                return

    async def _find_ended_calls(self) -> None:
        try:
            await self._calls.compare(only_ends=True)
        except AriError as error:
            log.debug("calls could not be compared with Asterisk: %s", error)

    def _replaced_reason(self) -> str:
        return (
            f"APP_NAME={self._application}: another client registered this application at {self._url}; give each relay "
            "an Asterisk or an APP_NAME of its own. It is taken back once the other has gone"
        )

    def _set_state(self, state: AriState, reason: str | None) -> None:
        """Set the state, and log one line for each change."""
        if (state, reason) == (self._state, self._reason):
            return
        if state != self._state:
            self._since_ns = self._wall_ns()
        self._state, self._reason = state, reason
        fields = {"state": state, "url": self._url, "application": self._application}
        if reason is None:
            log.info("Asterisk is connected", extra={"fields": fields})
        else:
            log.warning("Asterisk is not connected: %s", reason, extra={"fields": fields})

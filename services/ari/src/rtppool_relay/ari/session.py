"""The standing connection to Asterisk: connect, compare, listen; again after every loss, saying why there is none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from rtppool_core.contract.report import AriReport, AriState
from rtppool_relay.ari.client import AriClient
from rtppool_relay.ari.errors import AriError, AriUnauthorized, AriUnreachable
from rtppool_relay.ari.messages import Event, Replaced

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 2.0
JITTER = (0.5, 1.0)
SWEEP_SECONDS = 10.0


class Calls(Protocol):
    """Whatever holds the calls."""

    def handle(self, event: Event) -> None:
        """Hand an event on."""

    async def compare(self, *, only_ends: bool = False) -> None:
        """Settle the differences with Asterisk's channels and bridges."""

    async def until_compare_is_due(self, at_most_seconds: float) -> None:
        """Return after so long, or sooner where there is a reason to compare."""


class AriSession:
    """Keeps one application registered; `report` tells how that goes.

    `wall_ns` is Unix time in ns, `uniform` a random number between two.
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
        self._reason: str | None = f"ARI_URL={url} is being connected for the first time"
        self._since_ns = wall_ns()
        self._connections = 0

    def report(self) -> AriReport:
        """The connection as it is now."""
        return AriReport(
            state=self._state,
            reconnects=max(0, self._connections - 1),
            url=self._url,
            application=self._application,
            since_unix_seconds=self._since_ns // 1_000_000_000,
            reason=self._reason,
        )

    async def run(self) -> None:
        """Stay connected, for ever. The first attempt is at once."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            connections = self._connections
            try:
                replaced = await self._connection()
            except AriUnauthorized as error:
                self._note("Unauthorized", str(error))
            except AriError as error:
                self._note("Unreachable", str(error))
            else:
                if replaced:
                    await self._wait_until_given_up()
            if self._connections > connections:
                pause = FIRST_PAUSE_SECONDS
            # Relays that lost the same Asterisk don't come back in step.
            await asyncio.sleep(pause * self._uniform(*JITTER))
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def _connection(self) -> bool:
        """One connection to its end; True when another client took the application over.

        Raises:
            AriError: it could not be made, or it broke.
        """
        async with self._client.events(self._application) as events:
            # Events that come meanwhile are read and wait their turn.
            await self._calls.compare()
            self._connections += 1
            self._note("Connected", None)
            sweeper = asyncio.create_task(self._sweep())
            try:
                async for event in events:
                    if isinstance(event, Replaced) and event.application == self._application:
                        self._note("Replaced", self._replaced_reason())
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
        """Find what events did not tell. Of comparisons that fail one after another the first one is logged."""
        failing = False
        while True:
            await self._calls.until_compare_is_due(SWEEP_SECONDS)
            try:
                await self._calls.compare()
            except AriError as error:
                if not failing:
                    log.warning("calls could not be compared with Asterisk, and it is tried again: %s", error)
                failing = True
            else:
                failing = False

    async def _wait_until_given_up(self) -> None:
        """Taking an application back would begin a quarrel. Calls that end meanwhile are still noticed."""
        while True:
            await asyncio.sleep(MAX_PAUSE_SECONDS)
            await self._calls_that_ended()
            try:
                if not await self._client.application_exists(self._application):
                    return
            except AriError as error:
                self._note("Unreachable", str(error))
                return

    async def _calls_that_ended(self) -> None:
        try:
            await self._calls.compare(only_ends=True)
        except AriError as error:
            log.debug("calls could not be compared with Asterisk: %s", error)

    def _replaced_reason(self) -> str:
        return (
            f"APP_NAME={self._application}: another client registered this application at {self._url}; give each relay "
            "an Asterisk or an APP_NAME of its own. It is taken back once the other has gone"
        )

    def _note(self, state: AriState, reason: str | None) -> None:
        """Remember, and log what is new: one line per change."""
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

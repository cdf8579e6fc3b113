"""The permanent connection to Asterisk: connect, compare, process events, and reconnect after every loss."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Protocol

from rtppool_core.contract.report import AriReport, AriState
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_relay.ari.errors import AriError, AriUnauthorized, AriUnreachable
from rtppool_relay.ari.messages import AriEvent, Replaced
from rtppool_relay.ari.rest import AriClient

log = logging.getLogger(__name__)

MIN_PAUSE_SECONDS = 0.1
# With the handshake's limit and `MAX_COMPARE_SECONDS`, callers are served within 4 s of Asterisk's return.
MAX_PAUSE_SECONDS = 1.0
JITTER = (0.5, 1.0)
SWEEP_SECONDS = 10.0
# Callers are served no later than this after the connection, whatever the comparison does.
MAX_COMPARE_SECONDS = 1.0
# A caller without events is served or given back within 5 s.
CHECK_LIST_SECONDS = 1.5
CHECK_RIGHTS_SECONDS = 30.0
# A flood of events must not keep the relay from its other jobs.
EVENTS_BETWEEN_TURNS = 32
# While rights are missing, no caller is served. They are back within a few seconds of their repair.
CHECK_MISSING_RIGHTS_SECONDS = 2.0


class Calls(Protocol):
    """The calls, as the session uses them."""

    def handle(self, event: AriEvent) -> None:
        """Process an event."""


class Comparison(Protocol):
    """The comparison of the calls with Asterisk, as the session uses it."""

    def begin_connection(self) -> None:
        """Forget the events of the previous connection."""

    def set_rights_problem(self, problem: str | None) -> None:
        """Refuse new calls while Asterisk refuses this user's writes."""

    async def compare(self, *, only_ends: bool = False) -> None:
        """Resolve the differences to Asterisk's channels and bridges."""

    async def check_list(self) -> bool:
        """Request the application's channels alone, and compare soon where one is unexplained.

        Return False where Asterisk has no such application.
        """

    async def wait(self, max_seconds: float) -> None:
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
        comparison: Comparison,
        wall_ns: Callable[[], int],
        uniform: Callable[[float, float], float],
        jobs: PeriodicJobs,
    ) -> None:
        self._client = client
        self._url = url
        self._application = application
        self._calls = calls
        self._comparison = comparison
        self._wall_ns = wall_ns
        self._uniform = uniform
        self._jobs = jobs
        self._state: AriState = "Unreachable"
        self._reason: str | None = f"ARI_URL={url} has not been connected yet"
        self._since_ns = wall_ns()
        self._connections = 0
        self._rights_problem: str | None = None
        # Set when the first attempt has failed, or has adopted the calls of a former relay.
        self.first_attempt_ended = asyncio.Event()

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
            if not await self._jobs.attempt("connection to Asterisk", self._connect_once):
                self._set_state("Unreachable", "the relay failed; its log and /status have the error")
            if self._connections > connections:
                pause = MIN_PAUSE_SECONDS
            # Relays that lost the same Asterisk do not reconnect in step.
            await asyncio.sleep(pause * self._uniform(*JITTER))
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def _connect_once(self) -> None:
        try:
            replaced = await self._connect()
        except AriUnauthorized as error:
            self._set_state("Unauthorized", str(error))
        except AriError as error:
            self._set_state("Unreachable", str(error))
        else:
            if replaced:
                await self._wait_until_unregistered()

    async def _connect(self) -> bool:
        """Hold one connection to its end. Return True when another client took the application over.

        Raises:
            AriError: the connection failed.
        """
        try:
            async with asyncio.timeout(None) as held, self._client.events(self._application) as events:
                return await self._process(events, held)
        except TimeoutError:
            raise AriUnreachable(
                f"ARI_URL={self._url}: Asterisk has dropped the application {self._application} of an open connection, "
                "as it does when the former client leaves at this moment. The relay registers it again"
            ) from None

    async def _process(self, events: AsyncIterator[AriEvent], held: asyncio.Timeout) -> bool:
        """Process the events of a connection. `held` expires when Asterisk no longer has the application."""
        # Events that arrive meanwhile wait in the queue.
        self._comparison.begin_connection()
        prepared = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(job) for job in (self._sweep(prepared), self._watch_rights(prepared))]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MAX_COMPARE_SECONDS):
                    for _ in tasks:
                        await prepared.acquire()
            self._connections += 1
            self._set_connected()
            tasks.append(
                asyncio.create_task(
                    self._jobs.repeat(
                        "check of the list of channels", CHECK_LIST_SECONDS, partial(self._check_list, held)
                    )
                )
            )
            number = 0
            async for event in events:
                number += 1
                if number % EVENTS_BETWEEN_TURNS == 0:
                    await asyncio.sleep(0)
                if isinstance(event, Replaced) and event.application == self._application:
                    self._set_state("Replaced", self._replaced_reason())
                    return True
                await self._jobs.attempt("event of Asterisk", partial(self._calls.handle, event))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise AriUnreachable(
            f"ARI_URL={self._url}: Asterisk closed the connection; was it stopped? A slow reader is cut as well, see "
            "websocket_write_timeout in ari.conf"
        )

    async def _sweep(self, prepared: asyncio.Semaphore) -> None:
        """Compare now and at intervals, for changes without an event."""
        while True:
            await self._jobs.attempt("comparison with Asterisk", self._comparison.compare)
            prepared.release()
            await self._comparison.wait(SWEEP_SECONDS)

    async def _watch_rights(self, prepared: asyncio.Semaphore) -> None:
        """Check now and at intervals whether Asterisk accepts this user's writes."""
        while True:
            await self._jobs.attempt("check of the rights in Asterisk", self._check_rights)
            prepared.release()
            await asyncio.sleep(CHECK_RIGHTS_SECONDS if self._rights_problem is None else CHECK_MISSING_RIGHTS_SECONDS)

    async def _check_rights(self) -> None:
        before = self._rights_problem
        try:
            await self._client.check_rights()
        except AriUnauthorized as error:
            self._rights_problem = str(error)
        except AriError as error:
            log.debug("the rights in Asterisk are unknown: %s", error)
        else:
            self._rights_problem = None
        self._comparison.set_rights_problem(self._rights_problem)
        if self._rights_problem != before and self._state in {"Connected", "Unauthorized"}:
            self._set_connected()

    async def _check_list(self, held: asyncio.Timeout) -> None:
        try:
            if not await self._comparison.check_list():
                held.reschedule(asyncio.get_running_loop().time())
        except AriError as error:
            log.debug("the application's channels are unknown: %s", error)

    def _set_connected(self) -> None:
        """Set the state of an open connection. Without rights to write, it serves no caller."""
        self._set_state("Connected" if self._rights_problem is None else "Unauthorized", self._rights_problem)

    async def _wait_until_unregistered(self) -> None:
        """Wait until the other client has left: two clients would take the application from each other without end.

        Calls that end meanwhile are still detected.
        """
        while True:
            await asyncio.sleep(MAX_PAUSE_SECONDS)
            await self._jobs.attempt("comparison with Asterisk", partial(self._comparison.compare, only_ends=True))
            try:
                if not await self._client.application_exists(self._application):
                    return
            except AriError as error:
                self._set_state("Unreachable", str(error))
                return

    def _replaced_reason(self) -> str:
        return (
            f"APP_NAME={self._application}: another client registered this application at {self._url}; give each relay "
            "an Asterisk or an APP_NAME of its own. It is taken back once the other has gone"
        )

    def _set_state(self, state: AriState, reason: str | None) -> None:
        """Set the state, and log one line for each change."""
        self.first_attempt_ended.set()
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

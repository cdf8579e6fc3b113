"""The `serve` command: the Asterisk stand-in as a process, with callers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rtppool_callgen.arguments import read_credentials
from rtppool_callgen.callers.line_driver import CallEnd, LineDriver, NotPlacedError
from rtppool_callgen.plan.caller_events import CallerEvent, Over, to_line
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_callgen.stand_in.stand_in import EndedCall, StandIn
from rtppool_callgen.stand_in.switchboard import SwitchboardError
from rtppool_core.process import logs
from rtppool_core.process.service import Stop

log = logging.getLogger(__name__)

# A channel or bridge that remains two seconds after the end of its call is an orphan.
ORPHAN_SECONDS = 2.0
POLL_SECONDS = 0.05
RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Serving:
    """Options of the command. With a plan callers come and go by it; without one `calls` arrive and stay.

    `events` is the file for the events of a plan's calls, as JSON lines.
    """

    host: str
    port: int
    application: str
    calls: int
    per_second: float
    plan: LoadPlan | None = None
    events: Path | None = None


class StandInPhone:
    """Callers of the stand-in that arrive in one application."""

    def __init__(self, stand_in: StandIn, application: str) -> None:
        self._stand_in = stand_in
        self._application = application

    async def place(self) -> str:
        """Place a call."""
        try:
            return self._stand_in.place_call(self._application)
        except SwitchboardError as error:
            raise NotPlacedError(str(error)) from error

    async def hang_up(self, channel: str) -> None:
        """End a call."""
        if channel in self._stand_in.switchboard.channels:
            self._stand_in.hang_up(channel)


async def serve(serving: Serving, stop: Stop) -> None:
    """Serve ARI and place the calls until `stop`, then hang up.

    Raises:
        SettingsError: no credentials.
        ListenError: the port is taken.
    """
    logs.configure("INFO", "text", sys.stderr)
    user, password = read_credentials()
    async with StandIn(serving.host, serving.port, user, password) as stand_in:
        stand_in.on_end = _log_end
        log.info(
            "Asterisk stand-in serves", extra={"fields": {"url": stand_in.url, "application": serving.application}}
        )
        with _events_into(serving.events) as emit:
            async with asyncio.TaskGroup() as tasks:
                placing = tasks.create_task(_place_calls(stand_in, serving, stop, emit))
                await stop.asked.wait()
                # A plan ends by itself, after the events of its last calls.
                if serving.plan is None:
                    placing.cancel()
        for channel in stand_in.callers():
            stand_in.hang_up(channel)
        await _until_empty(stand_in)


async def _place_calls(stand_in: StandIn, serving: Serving, stop: Stop, emit: Callable[[CallerEvent], None]) -> None:
    switchboard = stand_in.switchboard
    while not switchboard.is_registered(serving.application) and not stop.asked.is_set():  # noqa: ASYNC110 no event loop
        await asyncio.sleep(RETRY_SECONDS)
    if serving.plan is not None:
        await call_by_plan(stand_in, serving.application, serving.plan, stop.asked, emit)
    else:
        await _place_lasting_calls(stand_in, serving.application, serving.calls, serving.per_second)


async def call_by_plan(
    stand_in: StandIn, application: str, plan: LoadPlan, stop: asyncio.Event, emit: Callable[[CallerEvent], None]
) -> None:
    """Place the calls of a plan. The last event counts the channels and bridges that the relay left behind."""
    driver = LineDriver(plan, StandInPhone(stand_in, application), emit)
    on_end_before = stand_in.on_end

    def on_end(call: EndedCall) -> None:
        on_end_before(call)
        driver.ended(
            CallEnd(
                call.channel, call.answered, call.refused, call.given_back, call.sent, call.returned, call.round_trips
            )
        )

    stand_in.on_end = on_end
    await driver.run(stop)
    await _until_empty(stand_in)
    emit(Over(len(stand_in.switchboard.channels), len(stand_in.switchboard.bridges)))


async def _place_lasting_calls(stand_in: StandIn, application: str, calls: int, per_second: float) -> None:
    log.info("calls are placed", extra={"fields": {"calls": calls, "per_second": per_second}})
    placed = 0
    while placed < calls:
        try:
            stand_in.place_call(application)
        except SwitchboardError as error:
            # The relay restarts: its calls go on, and further callers wait for it.
            log.warning("a call waits: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        placed += 1
        await asyncio.sleep(1 / per_second)
    log.info("all calls are placed", extra={"fields": {"calls": calls}})


async def _until_empty(stand_in: StandIn) -> None:
    """Wait until the relay has removed its channels and bridges, at most `ORPHAN_SECONDS`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ORPHAN_SECONDS):
            while stand_in.switchboard.channels or stand_in.switchboard.bridges:  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _events_into(path: Path | None) -> Iterator[Callable[[CallerEvent], None]]:
    """Line-buffered JSON lines, so that the parent process can follow them."""
    if path is None:
        yield lambda _event: None
        return
    with path.open("w", encoding="utf-8", buffering=1) as file:

        def emit(event: CallerEvent) -> None:
            file.write(to_line(event))

        yield emit


def _log_end(call: EndedCall) -> None:
    fields = {"channel": call.channel, "sent": call.sent, "returned": call.returned}
    if call.refused:
        log.warning("a caller was refused", extra={"fields": {"channel": call.channel, "reason": call.refused}})
    else:
        log.info("a caller's call ended", extra={"fields": fields})

"""The stand-in's callers as a telephone for the lines of a load, and what a relay left behind in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rtppool_callgen.plan.caller_events import CallerEvent, Over
from rtppool_callgen.plan.line_driver import CallEnd, LineDriver, NotPlacedError
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_callgen.stand_in.stand_in import EndedCall, StandIn
from rtppool_callgen.stand_in.switchboard import SwitchboardError

# What is left of a call two seconds after its end is an orphan.
ORPHAN_SECONDS = 2.0
POLL_SECONDS = 0.05
REGISTRATION_SECONDS = 0.2


class StandInPhone:
    """Callers of the stand-in who arrive in one application."""

    def __init__(self, stand_in: StandIn, application: str) -> None:
        self._stand_in = stand_in
        self._application = application

    async def place(self) -> str:
        """See `Phone.place`."""
        try:
            return self._stand_in.place_call(self._application)
        except SwitchboardError as error:
            raise NotPlacedError(str(error)) from error

    async def hang_up(self, channel: str) -> None:
        """See `Phone.hang_up`."""
        if channel in self._stand_in.switchboard.channels:
            self._stand_in.hang_up(channel)


async def call_on_stand_in(
    stand_in: StandIn, application: str, plan: LoadPlan, stop: asyncio.Event, tell: Callable[[CallerEvent], None]
) -> None:
    """Wait until a relay serves the application, call by the plan, then look for what is left."""
    switchboard = stand_in.switchboard
    while not switchboard.is_registered(application) and not stop.is_set():  # noqa: ASYNC110 no event loop there
        await asyncio.sleep(REGISTRATION_SECONDS)
    driver = LineDriver(plan, StandInPhone(stand_in, application), tell)
    before = stand_in.on_end

    def on_end(call: EndedCall) -> None:
        before(call)
        driver.ended(call_end(call))

    stand_in.on_end = on_end
    await driver.run(stop)
    deadline = asyncio.get_running_loop().time() + ORPHAN_SECONDS
    while (switchboard.channels or switchboard.bridges) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)
    tell(Over(len(switchboard.channels), len(switchboard.bridges)))


def call_end(call: EndedCall) -> CallEnd:
    """What the driver wants to know of it."""
    return CallEnd(
        call.channel, call.answered, call.refused, call.given_back, call.sent, call.returned, call.round_trips
    )

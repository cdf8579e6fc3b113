"""Places the calls of a plan on a telephone exchange, and emits an event for each placed and ended call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rtppool_callgen.plan.caller_events import CallerEvent, Ended, HungUp, NotPlaced, Placed, classify_end
from rtppool_callgen.plan.plan import Lines, LoadPlan
from rtppool_core.contract.report import export_histogram
from rtppool_core.statistics.histogram import Histogram

# The longest delay until a request to stop takes effect.
STOP_SECONDS = 0.2
# The time that an exchange has to confirm the last ends.
ENDS_SECONDS = 5.0


class NotPlacedError(Exception):
    """A call could not be placed. The message is the reason, a word or a short sentence."""


class Phone(Protocol):
    """The exchange, as the driver uses it."""

    async def place(self) -> str:
        """Place a call. Returns its channel.

        Raises:
            NotPlacedError: the exchange refused.
        """

    async def hang_up(self, channel: str) -> None:
        """End a call. A channel that has ended already is no error."""


@dataclass(frozen=True, slots=True)
class CallEnd:
    """An ended call. The packet figures are None when the exchange does not count packets."""

    channel: str
    answered: bool
    refused: str | None = None
    given_back: str | None = None
    sent: int | None = None
    returned: int | None = None
    round_trips: Histogram | None = None


class LineDriver:
    """Drives all lines of a plan.

    The exchange must call `ended` for each call, at the latest `ENDS_SECONDS` after `hang_up`.
    """

    def __init__(self, plan: LoadPlan, phone: Phone, emit: Callable[[CallerEvent], None]) -> None:
        self._lines = Lines(plan)
        self._phone = phone
        self._emit = emit
        self._channel_of: dict[int, str] = {}
        self._line_of: dict[str, int] = {}
        self._leaving: dict[str, HungUp] = {}
        # Ends of calls whose placing has not returned yet.
        self._unclaimed: dict[str, CallEnd] = {}
        self._placing = False
        self._began_seconds = 0.0
        self._wake = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Place calls until the plan is over. End all calls when `stop` is set."""
        self._began_seconds = asyncio.get_running_loop().time()
        while not self._lines.over and not stop.is_set():
            self._wake.clear()
            for line in self._lines.take_hang_ups(self._now()):
                # The call may have ended at this moment.
                if (channel := self._channel_of.get(line)) is not None:
                    await self._hang_up(channel, "asPlanned")
            for line in self._lines.take_arrivals(self._now()):
                await self._place(line)
            await self._pause()
        for channel in list(self._line_of):
            await self._hang_up(channel, "interrupted")
        await self._wait_for_ends()

    def ended(self, end: CallEnd) -> None:
        """Note that a call ended."""
        line = self._line_of.pop(end.channel, None)
        if line is not None:
            del self._channel_of[line]
            self._lines.ended(line, self._now())
        elif end.channel not in self._leaving:
            if self._placing:
                self._unclaimed[end.channel] = end
            return
        self._conclude(end)

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began_seconds

    async def _place(self, line: int) -> None:
        self._placing = True
        try:
            channel = await self._phone.place()
        except NotPlacedError as error:
            self._emit(NotPlaced(str(error)))
            self._lines.ended(line, self._now())
            return
        finally:
            self._placing = False
        self._emit(Placed(channel))
        self._channel_of[line] = channel
        self._line_of[channel] = line
        early = self._unclaimed.pop(channel, None)
        self._unclaimed.clear()
        if early is not None:
            self.ended(early)

    async def _hang_up(self, channel: str, how: HungUp) -> None:
        self._leaving[channel] = how
        line = self._line_of.pop(channel, None)
        if line is not None:
            del self._channel_of[line]
        await self._phone.hang_up(channel)

    def _conclude(self, end: CallEnd) -> None:
        hung_up = self._leaving.pop(end.channel, None)
        how, reason = classify_end(
            answered=end.answered, refused=end.refused, given_back=end.given_back, hung_up=hung_up
        )
        trips = export_histogram(end.round_trips) if end.round_trips is not None else None
        self._emit(Ended(end.channel, how, reason, end.sent, end.returned, trips))
        self._wake.set()

    async def _pause(self) -> None:
        due_seconds = self._lines.next_seconds()
        if due_seconds is None:
            return
        try:
            async with asyncio.timeout(max(0.0, min(STOP_SECONDS, due_seconds - self._now()))):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _wait_for_ends(self) -> None:
        try:
            async with asyncio.timeout(ENDS_SECONDS):
                while self._leaving:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            for channel in list(self._leaving):
                del self._leaving[channel]
                self._emit(Ended(channel, "failed", "HangUpNotConfirmed"))

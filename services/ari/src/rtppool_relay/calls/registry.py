"""All calls of this relay: dispatches Asterisk's events to them, and keeps the last records."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Iterator, Mapping

from rtppool_core.contract.report import CallsReport
from rtppool_core.units import NS_PER_MS
from rtppool_relay.ari.messages import (
    AriEvent,
    BridgeGone,
    Channel,
    ChannelGone,
    ChannelStarted,
    DigitEnded,
    EnteredBridge,
    LeftBridge,
    Replaced,
)
from rtppool_relay.calls.ids import CallIds, Part, call_of, is_media_of_any_relay
from rtppool_relay.calls.presence import Presence
from rtppool_relay.calls.reconciliation import Calls, KnownCall, Pair, Stage
from rtppool_relay.calls.record import CallRecord, log_fields
from rtppool_relay.calls.returns import Returns
from rtppool_relay.calls.runner import REFUSED_VARIABLE, CallContext, CallRunner
from rtppool_relay.calls.sound import SoundState
from rtppool_relay.calls.table import CallEvent, CallState

log = logging.getLogger(__name__)

RECENT_CALLS = 200
# Asterisk may list deleted channels and bridges for a moment.
ENDED_RECENTLY_SECONDS = 2.0
# A comparison lasts some seconds at most, and longer only on a machine that stands still.
MAX_ANSWER_AGE_SECONDS = 60.0
CUT_SECONDS = 10.0
# The pause before a comparison that finds orphans and odd bridges: within the two seconds that an orphan may live, and
# late enough for the events of a hang-up.
SOON_SECONDS = 0.5
MAX_CALLS_IN_SETUP = 256

_STAGES: Mapping[CallState, Stage] = {
    CallState.TALKING: "settled",
    CallState.ADOPTING: "settled",
    CallState.AWAITING_MEDIA: "awaiting",
}


class CallRegistry:
    """Live calls by name, the records of the last ended ones, and the counters.

    Attributes:
        presence: the channels in the application, as events show them.
        returns: callers without a call who are still to be given back.
        compare_soon: set where a comparison with Asterisk has a reason.
    """

    def __init__(self, context: CallContext) -> None:
        self.context = context
        self.presence = Presence()
        self.returns = Returns(context.client)
        self.compare_soon = asyncio.Event()
        self._forms = (context.ids, *context.old_ids)
        self._live: dict[str, CallRunner] = {}
        self._recent: deque[CallRecord] = deque(maxlen=RECENT_CALLS)
        self._ended_recently: deque[tuple[float, str]] = deque()
        # Callers who arrived again while the previous call of their channel still ends.
        self._arrived_again: dict[str, Channel] = {}
        # The calls of channels that took the place of another one.
        self._transferred: dict[str, str] = {}
        self._in_setup: list[CallRunner] = []
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def active_calls(self) -> int:
        """Calls that have not ended."""
        return len(self._live)

    def live_calls(self) -> list[CallRecord]:
        """Return the live calls, oldest first."""
        return list(self.iterate_calls())

    def iterate_calls(self) -> Iterator[CallRecord]:
        """Yield the live calls, oldest first, each with its figures at that moment. Calls may end meanwhile."""
        for name, runner in list(self._live.items()):
            if self._live.get(name) is runner:
                yield runner.update_figures()

    def live_records(self) -> Iterator[CallRecord]:
        """Yield the live calls, oldest first, without their figures of this moment, which cost a millisecond each."""
        for runner in self._live.values():
            yield runner.record

    def find(self, call: str) -> CallRecord | None:
        """Return a live call with its figures at this moment, or a recent one; None where there is none."""
        if (runner := self._live.get(call)) is not None:
            return runner.update_figures()
        return next((record for record in reversed(self._recent) if record.call == call), None)

    def recent_calls(self) -> list[CallRecord]:
        """Return the last ended calls, newest first."""
        return list(reversed(self._recent))

    def report(self) -> CallsReport:
        """Return the counts of calls."""
        counters = self.context.counters
        sounds = [runner.record.media for runner in self._live.values() if not runner.is_leaving]
        return CallsReport(
            active=self.active_calls,
            accepted=counters.accepted,
            ended=counters.ended,
            cut=counters.cut,
            adopted=counters.adopted,
            refused=dict(counters.refused),
            orphans_deleted=counters.orphans_deleted,
            arrived=counters.arrived,
            left_before_answer=counters.left_before_answer,
            ended_by=dict(counters.ended_by),
            shared=sum(runner.record.shared for runner in self._live.values()),
            silent=sounds.count(SoundState.SILENT),
            one_way=sounds.count(SoundState.ONE_WAY),
            went_silent=counters.went_silent,
            went_one_way=counters.went_one_way,
            setup=counters.setup.report(),
            first_return=counters.first_return.report(),
            refusal=counters.refusal.report(),
            handed_over=counters.handed_over,
            gap=counters.gap.report(),
        )

    def check_sound(self) -> None:
        """Find calls without sound. Call it about every second."""
        for runner in self._live.values():
            runner.check_sound()

    def handle(self, event: AriEvent) -> None:
        """Feed an event to its call. Ignore events of unknown channels and bridges."""
        match event:
            case ChannelStarted(channel, application, replaces) if application == self.context.application:
                self._handle_start(channel, replaces)
            case ChannelGone(gone, application) if application in {None, self.context.application}:
                self._handle_channel_gone(gone)
            case BridgeGone(bridge):
                self._feed_part(bridge, "bridge", CallEvent.BRIDGE_GONE)
            case EnteredBridge(entered, member):
                self._handle_entered_bridge(entered, member)
            case LeftBridge(left, member):
                self._handle_left_bridge(left, member)
            case DigitEnded(caller, milliseconds):
                self._handle_digit(caller, milliseconds)
            case ChannelStarted() | ChannelGone() | Replaced():
                pass

    def states(self) -> dict[str, CallState]:
        """Return the state of each live call."""
        return {name: runner.record.state for name, runner in self._live.items()}

    def known_calls(self, states_before: Mapping[str, CallState], began_seconds: float = math.inf) -> Calls:
        """Return the calls and callers for a comparison.

        `states_before` and `began_seconds` are of its begin. A call whose state has changed since then is running. A
        call that has ended since then may be in the answers, however long they took.
        """
        known = {}
        for name, runner in self._live.items():
            record = runner.record
            stage = _STAGES.get(record.state, "running") if states_before.get(name) is record.state else "running"
            known[name] = KnownCall(name, record.channel_id, stage, runner.ids)
        return Calls(
            self._forms,
            known,
            frozenset(self._recent_names(began_seconds)),
            frozenset(self.presence.entered),
            self.presence.left | self.returns.channels,
        )

    def feed(self, call: str, event: CallEvent) -> None:
        """Feed an event to a call that may have ended."""
        if (runner := self._live.get(call)) is not None:
            runner.feed(event)

    def take(self, channel: Channel) -> None:
        """Begin a call with a caller who has none, or refuse it where too many calls are being set up."""
        call = call_of(channel.id)
        runner = self._live.get(call)
        if runner is None and self._has_room():
            runner = self._add(call, channel, self.context.ids)
            self._in_setup.append(runner)
            runner.take()
        elif runner is None:
            self._refuse_unserved(call, channel)
        elif runner.is_leaving:
            self._arrived_again[call] = channel

    def adopt(self, pair: Pair, left_ns: int | None) -> None:
        """Go on with a call that runs in Asterisk. `left_ns` is the departure of the previous relay."""
        if pair.call not in self._live:
            self._add(pair.call, pair.caller, pair.ids).adopt(pair.port, left_ns)

    def note_left(self, channel: str) -> None:
        """Note that a channel has left the application."""
        self.presence.leave(channel, self.context.monotonic())

    def ports_of_calls(self) -> list[int]:
        """Return the ports of all live calls."""
        return [runner.record.port for runner in self._live.values() if runner.record.port is not None]

    async def wait_for_adoptions(self) -> None:
        """Return when no call that was found is still being adopted."""
        await asyncio.gather(*(runner.wait_for_adoption() for runner in self._live.values()))

    async def wait_until_idle(self) -> None:
        """Return when no call is left."""
        await self._idle.wait()

    async def cut_all(self) -> int:
        """End all calls now and return the number of those that were not ending already."""
        runners = [runner for runner in self._live.values() if not runner.is_leaving]
        for runner in runners:
            runner.feed(CallEvent.CUT)
        try:
            async with asyncio.timeout(CUT_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            log.warning("calls that Asterisk did not release in %.0f s are left to it", CUT_SECONDS)
        return len(runners)

    async def close(self) -> None:
        """Close all ports. Calls that have not ended go on in Asterisk, where the next relay finds them."""
        await self.returns.close()
        runners = list(self._live.values())
        await asyncio.gather(*(runner.abandon() for runner in runners))
        for runner in runners:
            log.info("call left to the next relay", extra={"fields": log_fields(runner.update_figures())})
        self._live.clear()
        self._idle.set()

    def _has_room(self) -> bool:
        """Return whether one more call may be set up."""
        if len(self._in_setup) >= MAX_CALLS_IN_SETUP:
            self._in_setup = [runner for runner in self._in_setup if runner.is_in_setup]
        return len(self._in_setup) < MAX_CALLS_IN_SETUP

    def _refuse_unserved(self, call: str, channel: Channel) -> None:
        """Refuse a caller without a task of its own. One beyond the bound waits for the next comparison."""
        if self.returns.is_full:
            return
        context, refusal = self.context, f"{MAX_CALLS_IN_SETUP} calls are being set up; is Asterisk slow to answer?"
        context.counters.arrived += 1
        context.counters.count_refusal("Overloaded")
        now_ms = context.wall_ns() // NS_PER_MS
        log.warning("call refused: %s", refusal, extra={"fields": {"channel": channel.id, "reason": "Overloaded"}})
        self._recent.append(
            CallRecord(
                call=call,
                channel_id=channel.id,
                state=CallState.ENDED,
                started_unix_ms=now_ms,
                caller_number=context.caller_numbers.shown(channel.caller_number),
                ended_unix_ms=now_ms,
                refused="Overloaded",
                refusal=refusal,
            )
        )
        self.returns.add(channel.id, REFUSED_VARIABLE, "Overloaded")
        self.returns.start()

    def _handle_start(self, channel: Channel, replaces: str | None) -> None:
        if self._feed_part(channel.id, "media", CallEvent.MEDIA_STARTED) or is_media_of_any_relay(channel.id):
            return
        self.presence.enter(channel.id)
        self.returns.discard(channel.id)
        replaced = self._find_by_caller(replaces) if replaces is not None else None
        if replaced is not None and not replaced.is_leaving:
            log.info("call %s goes on with channel %s after a transfer", replaced.record.call, channel.id)
            self._transferred[channel.id] = replaced.record.call
            replaced.replace_caller(channel.id)
        elif channel.id not in self._transferred:
            self.take(channel)

    def _handle_channel_gone(self, channel: str) -> None:
        if self._feed_part(channel, "media", CallEvent.MEDIA_GONE):
            return
        self.note_left(channel)
        self.returns.discard(channel)
        runner = self._find_by_caller(channel)
        if runner is not None:
            self._arrived_again.pop(runner.record.call, None)
            runner.feed(CallEvent.CALLER_GONE)

    def _handle_digit(self, channel: str, milliseconds: int) -> None:
        runner = self._find_by_caller(channel)
        if runner is not None:
            runner.excuse_digit(milliseconds)

    def _find_by_caller(self, channel: str) -> CallRunner | None:
        """Return the call of a caller. After a transfer the call keeps the name of its first caller."""
        runner = self._live.get(self._transferred.get(channel, call_of(channel)))
        return runner if runner is not None and runner.record.channel_id == channel else None

    def _handle_entered_bridge(self, bridge: str, channel: str) -> None:
        runner = self._find_by_part(bridge, "bridge")
        if runner is not None and channel not in {runner.record.channel_id, runner.ids.media(runner.record.call)}:
            runner.feed(CallEvent.THIRD_PARTY)

    def _handle_left_bridge(self, bridge: str, channel: str) -> None:
        """Compare soon. A hang-up has further events; a channel that another client removed has only this one."""
        runner = self._find_by_part(bridge, "bridge")
        if runner is None or channel not in {runner.record.channel_id, runner.ids.media(runner.record.call)}:
            return
        if runner.record.state is CallState.TALKING:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._compare_if_talking, runner)

    def _compare_if_talking(self, runner: CallRunner) -> None:
        if runner.record.state is CallState.TALKING:
            self.compare_soon.set()

    def _find_by_part(self, identifier: str, part: Part) -> CallRunner | None:
        """Return the live call that an id of one of its objects names."""
        for form in self._forms:
            parsed = form.parse(identifier)
            runner = self._live.get(parsed[0]) if parsed is not None and parsed[1] == part else None
            if runner is not None and runner.ids == form:
                return runner
        return None

    def _feed_part(self, identifier: str, part: Part, event: CallEvent) -> bool:
        """Feed an event of an object to its call. Return False where the id is no such id of ours."""
        if (runner := self._find_by_part(identifier, part)) is not None:
            runner.feed(event)
            return True
        return any((parsed := form.parse(identifier)) and parsed[1] == part for form in self._forms)

    def _add(self, call: str, caller: Channel, ids: CallIds) -> CallRunner:
        runner = CallRunner(self.context, call, caller, self._retire, ids)
        self._live[call] = runner
        if call != call_of(caller.id):
            self._transferred[caller.id] = call
        self.context.counters.arrived += 1
        self._idle.clear()
        return runner

    def _retire(self, runner: CallRunner) -> None:
        record = runner.update_figures()
        del self._live[record.call]
        self._transferred.pop(record.channel_id, None)
        self._recent.append(record)
        if runner.unreturned is not None:
            self.returns.add(record.channel_id, *runner.unreturned)
        if runner.left_behind:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self.compare_soon.set)
        else:
            self._ended_recently.append((self.context.monotonic(), record.call))
        if record.refused is None:
            log.info("call ended", extra={"fields": log_fields(record)})
        channel = self._arrived_again.pop(record.call, None)
        if channel is not None:
            self.returns.discard(channel.id)
            self.take(channel)
        if not self._live:
            self._idle.set()

    def _recent_names(self, began_seconds: float) -> list[str]:
        now = self.context.monotonic()
        while self._ended_recently and self._ended_recently[0][0] < now - MAX_ANSWER_AGE_SECONDS:
            self._ended_recently.popleft()
        earliest = min(now, began_seconds) - ENDED_RECENTLY_SECONDS
        return [call for ended, call in self._ended_recently if ended >= earliest]

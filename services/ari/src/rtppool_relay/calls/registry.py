"""All calls of this relay: hands them Asterisk's events, compares with Asterisk, remembers the last ones."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterable

from rtppool_core.contract.report import CallsReport
from rtppool_relay.ari.errors import AriError, AriRefused
from rtppool_relay.ari.messages import (
    BridgeGone,
    Channel,
    ChannelGone,
    ChannelStarted,
    EnteredBridge,
    LeftBridge,
    Replaced,
)
from rtppool_relay.ari.messages import Event as AsteriskEvent
from rtppool_relay.calls.hand_over import take_word
from rtppool_relay.calls.ids import call_of, is_media_of_any_relay
from rtppool_relay.calls.reconciliation import KnownCall, Reconciliation, Stage, reconcile
from rtppool_relay.calls.record import CallRecord, log_fields
from rtppool_relay.calls.runner import CallRunner, CallSurroundings
from rtppool_relay.calls.sound import MediaState
from rtppool_relay.calls.table import Event, State

log = logging.getLogger(__name__)

RECENT_CALLS = 200
# Asterisk may list for a moment what was deleted.
ENDED_LATELY_SECONDS = 2.0
CUT_SECONDS = 10.0
# What is left behind, or looks odd, is looked at so soon: within the two seconds that an orphan may live, and late
# enough for the events of a hang-up.
SOON_SECONDS = 0.5
# After a comparison that failed.
RETRY_SECONDS = 2.0
DELETED_AT_ONCE = 8

_GONE = {
    "caller": Event.CALLER_GONE,
    "media": Event.MEDIA_GONE,
    "bridge": Event.BRIDGE_GONE,
    "place": Event.CALLER_MOVED,
}
_STAGES: dict[State, Stage] = {State.TALKING: "settled", State.AWAITING_MEDIA: "awaiting"}


class CallRegistry:
    """Live calls by name, the last ended ones, and the counts."""

    def __init__(self, surroundings: CallSurroundings) -> None:
        self._with = surroundings
        self._live: dict[str, CallRunner] = {}
        self._recent: deque[CallRecord] = deque(maxlen=RECENT_CALLS)
        self._ended_lately: deque[tuple[float, str]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._compare_soon = asyncio.Event()
        self._asterisk_started: str | None = None
        self._word_taken = False
        self._left_ns: int | None = None

    @property
    def active_calls(self) -> int:
        """Calls that have not ended."""
        return len(self._live)

    def live_calls(self) -> list[CallRecord]:
        """The live calls, oldest first."""
        return [runner.record() for runner in self._live.values()]

    def recent_calls(self) -> list[CallRecord]:
        """The last ended calls, newest first."""
        return list(reversed(self._recent))

    def report(self) -> CallsReport:
        """The counts."""
        counters, states = self._with.counters, [runner.media_state for runner in self._live.values()]
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
            shared=sum(runner.shared for runner in self._live.values()),
            silent=states.count(MediaState.SILENT),
            one_way=states.count(MediaState.ONE_WAY),
            went_silent=counters.went_silent,
            went_one_way=counters.went_one_way,
            setup=counters.setup.report(),
            first_return=counters.first_return.report(),
            refusal=counters.refusal.report(),
            handed_over=counters.handed_over,
            gap=counters.gap.report(),
        )

    def look_at_media(self) -> None:
        """Notice calls without sound; call it every second or so."""
        for runner in self._live.values():
            runner.look_at_media()

    def handle(self, event: AsteriskEvent) -> None:
        """Hand an event on. What concerns no call of ours is nobody's."""
        match event:
            case ChannelStarted(channel, application) if application == self._with.application:
                self._started(channel)
            case ChannelGone(gone):
                self._channel_gone(gone)
            case BridgeGone(bridge):
                self._feed(self._with.ids.parse(bridge), "bridge", Event.BRIDGE_GONE)
            case EnteredBridge(entered, member):
                self._entered(entered, member)
            case LeftBridge(left, member):
                self._left(left, member)
            case ChannelStarted() | Replaced():
                pass

    async def compare(self, *, only_ends: bool = False) -> None:
        """Ask Asterisk for all channels and bridges, settle the differences, and look for leases of nobody.

        Args:
            only_ends: end what Asterisk no longer has, but delete, adopt and take nothing.

        Raises:
            AriError: Asterisk can't be asked.
        """
        try:
            await self._compare(only_ends=only_ends)
        except AriError:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._compare_soon.set)
            raise

    async def _compare(self, *, only_ends: bool) -> None:
        started = await self._start_of_asterisk()
        another_run = self._asterisk_started not in {None, started}
        if not self._word_taken:
            self._left_ns, self._word_taken = await take_word(self._with.client, self._with.ids), True
        before = {name: runner.state for name, runner in self._live.items()}
        channels, bridges = await self._with.client.channels(), await self._with.client.bridges()
        found = reconcile(
            channels, bridges, self._known(before), self._lately(), self._with.ids, self._with.application
        )
        for gone in found.vanished:
            self._feed_call(gone.call, Event.ASTERISK_GONE if another_run else _GONE[gone.what])
        self._asterisk_started = started
        for call in found.started:
            self._feed_call(call, Event.MEDIA_STARTED)
        for call in found.shared:
            self._feed_call(call, Event.THIRD_PARTY)
        if not only_ends:
            await self._settle(found)
            self._left_ns = None  # whatever is adopted later was left by somebody else
        await self._with.ports.audit([runner.port for runner in self._live.values() if runner.port is not None])

    async def until_compare_is_due(self, at_most_seconds: float) -> None:
        """Return after so long, or soon after something was left behind in Asterisk or looks odd."""
        try:
            async with asyncio.timeout(at_most_seconds):
                await self._compare_soon.wait()
        except TimeoutError:
            pass
        finally:
            self._compare_soon.clear()

    async def wait_until_idle(self) -> None:
        """Return when no call is left."""
        await self._idle.wait()

    async def cut_all(self) -> int:
        """End all calls now; returns how many there were."""
        runners = list(self._live.values())
        for runner in runners:
            runner.feed(Event.CUT)
        try:
            async with asyncio.timeout(CUT_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            log.warning("calls that Asterisk did not let go in %.0f s are left to it", CUT_SECONDS)
        return len(runners)

    async def close(self) -> None:
        """Let go of all ports. Calls that have not ended go on in Asterisk, for the next relay to find."""
        runners = list(self._live.values())
        await asyncio.gather(*(runner.abandon() for runner in runners))
        for runner in runners:
            log.info("call left to the next relay", extra={"fields": log_fields(runner.record())})
        self._live.clear()
        self._idle.set()

    async def _start_of_asterisk(self) -> str | None:
        """When this run of Asterisk began; where it does not say, what it said before still holds."""
        try:
            return (await self._with.client.asterisk_info()).startup_time
        except AriRefused as refused:
            log.debug("Asterisk does not say when it was started: %s", refused)
            return self._asterisk_started

    async def _settle(self, found: Reconciliation) -> None:
        """Calls first: their packets wait for the adoption. An orphan that stays must keep nobody from being taken."""
        for pair in found.adopt:
            if pair.call not in self._live:
                self._add(pair.call, pair.caller).adopt(pair.port, self._left_ns)
            if pair.shared:
                self._feed_call(pair.call, Event.THIRD_PARTY)
        orphaned = {*map(self._call_named, found.orphan_channels), *map(self._call_named, found.orphan_bridges)}
        for channel in found.stranded:
            if call_of(channel.id) not in orphaned:
                self._started(channel)
        left = await self._delete_orphans(found)
        for channel in found.stranded:
            # With a media channel of that name left, Asterisk would go on with the old one, to another port.
            if call_of(channel.id) in orphaned - left:
                self._started(channel)

    async def _delete_orphans(self, found: Reconciliation) -> set[str]:
        """Delete, a few at a time; the calls of which something is left."""
        at_once = asyncio.Semaphore(DELETED_AT_ONCE)

        async def deleted(deletion: Awaitable[None]) -> AriError | None:
            async with at_once:
                try:
                    await deletion
                except AriError as error:
                    return error
            return None

        names = (*found.orphan_channels, *found.orphan_bridges)
        client = self._with.client
        failures = await asyncio.gather(
            *(deleted(client.delete_channel(name)) for name in found.orphan_channels),
            *(deleted(client.delete_bridge(name)) for name in found.orphan_bridges),
        )
        left = {name: error for name, error in zip(names, failures, strict=True) if error is not None}
        if len(left) < len(names):
            self._with.counters.orphans_deleted += len(names) - len(left)
            log.info("channels and bridges without a call deleted", extra={"fields": {"count": len(names) - len(left)}})
        if left:
            log.warning(
                "%d channels and bridges without a call can't be deleted; the next comparison tries again. %s",
                *(len(left), next(iter(left.values()))),
            )
        return {self._call_named(name) for name in left}

    def _started(self, channel: Channel) -> None:
        parsed = self._with.ids.parse(channel.id)
        if parsed is not None:
            self._feed(parsed, "media", Event.MEDIA_STARTED)
            return
        if is_media_of_any_relay(channel.id):
            return
        call = call_of(channel.id)
        runner = self._live.get(call)
        if runner is None:
            self._add(call, channel).take()
        elif runner.leaving:
            runner.arrived_again = channel

    def _channel_gone(self, channel: str) -> None:
        parsed = self._with.ids.parse(channel)
        if parsed is not None:
            self._feed(parsed, "media", Event.MEDIA_GONE)
            return
        runner = self._live.get(call_of(channel))
        if runner is not None and runner.caller.id == channel:
            runner.arrived_again = None
            runner.feed(Event.CALLER_GONE)

    def _entered(self, bridge: str, channel: str) -> None:
        parsed = self._with.ids.parse(bridge)
        if parsed is None or channel == self._with.ids.media(parsed[0]):
            return
        runner = self._live.get(parsed[0])
        if runner is not None and channel != runner.caller.id:
            runner.feed(Event.THIRD_PARTY)

    def _left(self, bridge: str, channel: str) -> None:
        """A hang-up is told otherwise as well; a caller or a media channel who was taken out is told by this alone."""
        parsed = self._with.ids.parse(bridge)
        runner = self._live.get(parsed[0]) if parsed is not None else None
        if runner is None or channel not in {runner.caller.id, self._with.ids.media(runner.call)}:
            return
        if runner.state is State.TALKING:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._look_why_it_left, runner)

    def _look_why_it_left(self, runner: CallRunner) -> None:
        if runner.state is State.TALKING:
            self._compare_soon.set()

    def _call_named(self, identifier: str) -> str:
        parsed = self._with.ids.parse(identifier)
        return parsed[0] if parsed is not None else identifier

    def _feed_call(self, call: str, event: Event) -> None:
        if (runner := self._live.get(call)) is not None:
            runner.feed(event)

    def _feed(self, parsed: tuple[str, str] | None, part: str, event: Event) -> None:
        if parsed is not None and parsed[1] == part and (runner := self._live.get(parsed[0])) is not None:
            runner.feed(event)

    def _add(self, call: str, caller: Channel) -> CallRunner:
        runner = CallRunner(self._with, call, caller, self._ended)
        self._live[call] = runner
        self._with.counters.arrived += 1
        self._idle.clear()
        return runner

    def _ended(self, runner: CallRunner) -> None:
        del self._live[runner.call]
        record = runner.record()
        self._recent.append(record)
        if runner.left_behind:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._compare_soon.set)
        else:
            self._ended_lately.append((self._with.monotonic(), runner.call))
        if record.refused is None:
            log.info("call ended", extra={"fields": log_fields(record)})
        if runner.arrived_again is not None:
            self._add(runner.call, runner.arrived_again).take()
        elif not self._live:
            self._idle.set()

    def _known(self, before: dict[str, State]) -> Iterable[KnownCall]:
        for name, runner in self._live.items():
            stage = _STAGES.get(runner.state, "running") if before.get(name) is runner.state else "running"
            yield KnownCall(name, runner.caller.id, stage)

    def _lately(self) -> list[str]:
        oldest = self._with.monotonic() - ENDED_LATELY_SECONDS
        while self._ended_lately and self._ended_lately[0][0] < oldest:
            self._ended_lately.popleft()
        return [call for _, call in self._ended_lately]

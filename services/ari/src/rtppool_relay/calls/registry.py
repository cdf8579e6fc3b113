"""All calls of this relay: dispatches Asterisk's events, compares with Asterisk, and keeps the last records."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator

from rtppool_core.contract.report import CallsReport
from rtppool_relay.ari.errors import AriError, AriRefused
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
from rtppool_relay.calls.hand_over import take_departure
from rtppool_relay.calls.ids import call_of, is_media_of_any_relay
from rtppool_relay.calls.reconciliation import KnownCall, Reconciliation, Stage, reconcile
from rtppool_relay.calls.record import CallRecord, log_fields
from rtppool_relay.calls.runner import CallContext, CallRunner
from rtppool_relay.calls.sound import SoundState
from rtppool_relay.calls.table import CallEvent, CallState

log = logging.getLogger(__name__)

RECENT_CALLS = 200
# Asterisk may list deleted channels and bridges for a moment.
ENDED_RECENTLY_SECONDS = 2.0
CUT_SECONDS = 10.0
# The pause before a comparison that finds orphans and odd bridges: within the two seconds that an orphan may live, and
# late enough for the events of a hang-up.
SOON_SECONDS = 0.5
# The pause after a failed comparison.
RETRY_SECONDS = 2.0
MAX_DELETIONS_AT_ONCE = 8

_VANISHED = {
    "caller": CallEvent.CALLER_GONE,
    "media": CallEvent.MEDIA_GONE,
    "bridge": CallEvent.BRIDGE_GONE,
    "place": CallEvent.CALLER_MOVED,
}
_STAGES: dict[CallState, Stage] = {CallState.TALKING: "settled", CallState.AWAITING_MEDIA: "awaiting"}


class CallRegistry:
    """Live calls by name, the records of the last ended ones, and the counters."""

    def __init__(self, context: CallContext) -> None:
        self._context = context
        self._live: dict[str, CallRunner] = {}
        self._recent: deque[CallRecord] = deque(maxlen=RECENT_CALLS)
        self._ended_recently: deque[tuple[float, str]] = deque()
        # Callers who arrived again while the previous call of their channel still ends.
        self._arrived_again: dict[str, Channel] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._compare_soon = asyncio.Event()
        self._asterisk_started: str | None = None
        self._departure_taken = False
        self._left_ns: int | None = None

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

    def recent_calls(self) -> list[CallRecord]:
        """Return the last ended calls, newest first."""
        return list(reversed(self._recent))

    def report(self) -> CallsReport:
        """Return the counts of calls."""
        counters = self._context.counters
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
            case ChannelStarted(channel, application) if application == self._context.application:
                self._handle_start(channel)
            case ChannelGone(gone):
                self._handle_channel_gone(gone)
            case BridgeGone(bridge):
                self._feed_part(self._context.ids.parse(bridge), "bridge", CallEvent.BRIDGE_GONE)
            case EnteredBridge(entered, member):
                self._handle_entered_bridge(entered, member)
            case LeftBridge(left, member):
                self._handle_left_bridge(left, member)
            case DigitEnded(caller, milliseconds):
                self._handle_digit(caller, milliseconds)
            case ChannelStarted() | Replaced():
                pass

    async def compare(self, *, only_ends: bool = False) -> None:
        """List Asterisk's channels and bridges, resolve the differences, and audit the leases of ports.

        Args:
            only_ends: end calls that Asterisk no longer has, but delete, adopt and take nothing.

        Raises:
            AriError: a list could not be read.
        """
        try:
            await self._compare(only_ends=only_ends)
        except AriError:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._compare_soon.set)
            raise

    async def _compare(self, *, only_ends: bool) -> None:
        context = self._context
        started = await self._read_asterisk_start()
        is_another_run = self._asterisk_started not in {None, started}
        if not self._departure_taken:
            self._left_ns, self._departure_taken = await take_departure(context.client, context.ids), True
        states = {name: runner.record.state for name, runner in self._live.items()}
        channels, bridges = await context.client.channels(), await context.client.bridges()
        difference = reconcile(
            channels.items,
            bridges.items,
            self._known_calls(states),
            self._recent_names(),
            context.ids,
            context.application,
        )
        faults = channels.faults + bridges.faults
        if faults:
            log.warning(
                "%d channels and bridges can't be parsed, so no call ends for their absence: %s",
                *(len(faults), faults[0]),
            )
        for vanished in () if faults else difference.vanished:
            self._feed(vanished.call, CallEvent.ASTERISK_GONE if is_another_run else _VANISHED[vanished.part])
        self._asterisk_started = started
        for call in difference.started:
            self._feed(call, CallEvent.MEDIA_STARTED)
        for call in difference.shared:
            self._feed(call, CallEvent.THIRD_PARTY)
        if not only_ends:
            await self._settle(difference)
            self._left_ns = None  # calls that are adopted later were not left by the previous relay
        ports = [runner.record.port for runner in self._live.values()]
        await context.ports.audit([port for port in ports if port is not None])

    async def wait_for_compare(self, max_seconds: float) -> None:
        """Return after `max_seconds`, or soon after a sign of orphans or of a changed bridge."""
        try:
            async with asyncio.timeout(max_seconds):
                await self._compare_soon.wait()
        except TimeoutError:
            pass
        finally:
            self._compare_soon.clear()

    async def wait_until_idle(self) -> None:
        """Return when no call is left."""
        await self._idle.wait()

    async def cut_all(self) -> int:
        """End all calls now and return their number."""
        runners = list(self._live.values())
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
        runners = list(self._live.values())
        await asyncio.gather(*(runner.abandon() for runner in runners))
        for runner in runners:
            log.info("call left to the next relay", extra={"fields": log_fields(runner.update_figures())})
        self._live.clear()
        self._idle.set()

    async def _read_asterisk_start(self) -> str | None:
        """Return the start time of this run of Asterisk, or the last known one where Asterisk refuses it."""
        try:
            return (await self._context.client.asterisk_info()).startup_time
        except AriRefused as refused:
            log.debug("Asterisk refuses its start time: %s", refused)
            return self._asterisk_started

    async def _settle(self, difference: Reconciliation) -> None:
        """Adopt calls first, because their packets wait. An orphan that stays must not keep callers out."""
        for pair in difference.adopt:
            if pair.call not in self._live:
                self._add(pair.call, pair.caller).adopt(pair.port, self._left_ns)
            if pair.shared:
                self._feed(pair.call, CallEvent.THIRD_PARTY)
        orphaned = {*map(self._call_of_part, (*difference.orphan_channels, *difference.orphan_bridges))}
        for channel in difference.stranded:
            if call_of(channel.id) not in orphaned:
                self._handle_start(channel)
        remaining = await self._delete_orphans(difference)
        for channel in difference.stranded:
            # Where the old media channel of that name stays, Asterisk would go on with it, to another port.
            if call_of(channel.id) in orphaned - remaining:
                self._handle_start(channel)

    async def _delete_orphans(self, difference: Reconciliation) -> set[str]:
        """Delete orphans, a few at a time. Return the calls that still have one."""
        at_once = asyncio.Semaphore(MAX_DELETIONS_AT_ONCE)

        async def delete(request: Awaitable[None]) -> AriError | None:
            async with at_once:
                try:
                    await request
                except AriError as error:
                    return error
            return None

        names = (*difference.orphan_channels, *difference.orphan_bridges)
        client = self._context.client
        errors = await asyncio.gather(
            *(delete(client.delete_channel(name)) for name in difference.orphan_channels),
            *(delete(client.delete_bridge(name)) for name in difference.orphan_bridges),
        )
        failures = {name: error for name, error in zip(names, errors, strict=True) if error is not None}
        deleted = len(names) - len(failures)
        if deleted:
            self._context.counters.orphans_deleted += deleted
            log.info("channels and bridges without a call deleted", extra={"fields": {"count": deleted}})
        if failures:
            log.warning(
                "%d channels and bridges without a call can't be deleted; the next comparison tries again. %s",
                *(len(failures), next(iter(failures.values()))),
            )
        return {self._call_of_part(name) for name in failures}

    def _handle_start(self, channel: Channel) -> None:
        parsed = self._context.ids.parse(channel.id)
        if parsed is not None:
            self._feed_part(parsed, "media", CallEvent.MEDIA_STARTED)
            return
        if is_media_of_any_relay(channel.id):
            return
        call = call_of(channel.id)
        runner = self._live.get(call)
        if runner is None:
            self._add(call, channel).take()
        elif runner.is_leaving:
            self._arrived_again[call] = channel

    def _handle_channel_gone(self, channel: str) -> None:
        parsed = self._context.ids.parse(channel)
        if parsed is not None:
            self._feed_part(parsed, "media", CallEvent.MEDIA_GONE)
            return
        call = call_of(channel)
        runner = self._live.get(call)
        if runner is not None and runner.record.channel_id == channel:
            self._arrived_again.pop(call, None)
            runner.feed(CallEvent.CALLER_GONE)

    def _handle_digit(self, channel: str, milliseconds: int) -> None:
        runner = self._live.get(call_of(channel))
        if runner is not None and runner.record.channel_id == channel:
            runner.excuse_digit(milliseconds)

    def _handle_entered_bridge(self, bridge: str, channel: str) -> None:
        parsed = self._context.ids.parse(bridge)
        if parsed is None or channel == self._context.ids.media(parsed[0]):
            return
        runner = self._live.get(parsed[0])
        if runner is not None and channel != runner.record.channel_id:
            runner.feed(CallEvent.THIRD_PARTY)

    def _handle_left_bridge(self, bridge: str, channel: str) -> None:
        """Compare soon. A hang-up has further events; a channel that another client removed has only this one."""
        parsed = self._context.ids.parse(bridge)
        runner = self._live.get(parsed[0]) if parsed is not None else None
        if runner is None or channel not in {runner.record.channel_id, self._context.ids.media(runner.record.call)}:
            return
        if runner.record.state is CallState.TALKING:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._compare_if_talking, runner)

    def _compare_if_talking(self, runner: CallRunner) -> None:
        if runner.record.state is CallState.TALKING:
            self._compare_soon.set()

    def _call_of_part(self, identifier: str) -> str:
        parsed = self._context.ids.parse(identifier)
        return parsed[0] if parsed is not None else identifier

    def _feed(self, call: str, event: CallEvent) -> None:
        if (runner := self._live.get(call)) is not None:
            runner.feed(event)

    def _feed_part(self, parsed: tuple[str, str] | None, part: str, event: CallEvent) -> None:
        if parsed is not None and parsed[1] == part:
            self._feed(parsed[0], event)

    def _add(self, call: str, caller: Channel) -> CallRunner:
        runner = CallRunner(self._context, call, caller, self._retire)
        self._live[call] = runner
        self._context.counters.arrived += 1
        self._idle.clear()
        return runner

    def _retire(self, runner: CallRunner) -> None:
        record = runner.update_figures()
        del self._live[record.call]
        self._recent.append(record)
        if runner.left_behind:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._compare_soon.set)
        else:
            self._ended_recently.append((self._context.monotonic(), record.call))
        if record.refused is None:
            log.info("call ended", extra={"fields": log_fields(record)})
        channel = self._arrived_again.pop(record.call, None)
        if channel is not None:
            self._add(record.call, channel).take()
        elif not self._live:
            self._idle.set()

    def _known_calls(self, states_before: dict[str, CallState]) -> Iterable[KnownCall]:
        for name, runner in self._live.items():
            record = runner.record
            stage = _STAGES.get(record.state, "running") if states_before.get(name) is record.state else "running"
            yield KnownCall(name, record.channel_id, stage)

    def _recent_names(self) -> list[str]:
        earliest = self._context.monotonic() - ENDED_RECENTLY_SECONDS
        while self._ended_recently and self._ended_recently[0][0] < earliest:
            self._ended_recently.popleft()
        return [call for _, call in self._ended_recently]

"""All calls of this relay: hands them Asterisk's events, compares with Asterisk, remembers the last ones."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from rtppool_core.report import CallsReport
from rtppool_relay.ari_messages import BridgeGone, Channel, ChannelGone, ChannelStarted, EnteredBridge, Replaced
from rtppool_relay.ari_messages import Event as AsteriskEvent
from rtppool_relay.call_ids import call_of, is_media_of_any_relay
from rtppool_relay.call_record import CallRecord, log_fields
from rtppool_relay.call_runner import CallRunner, CallSurroundings
from rtppool_relay.calls import Event, State
from rtppool_relay.reconciliation import KnownCall, Reconciliation, reconcile

log = logging.getLogger(__name__)

RECENT_CALLS = 200
# Asterisk may list for a moment what was deleted.
ENDED_LATELY_SECONDS = 2.0
CUT_SECONDS = 10.0

_GONE = {"caller": Event.CALLER_GONE, "media": Event.MEDIA_GONE, "bridge": Event.BRIDGE_GONE}


class CallRegistry:
    """Live calls by name, the last ended ones, and the counts."""

    def __init__(self, surroundings: CallSurroundings) -> None:
        self._with = surroundings
        self._live: dict[str, CallRunner] = {}
        self._recent: deque[CallRecord] = deque(maxlen=RECENT_CALLS)
        self._ended_lately: deque[tuple[float, str]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

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
        counters = self._with.counters
        return CallsReport(
            active=self.active_calls,
            accepted=counters.accepted,
            ended=counters.ended,
            cut=counters.cut,
            adopted=counters.adopted,
            refused=dict(counters.refused),
            orphans_deleted=counters.orphans_deleted,
        )

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
            case ChannelStarted() | Replaced():
                pass

    async def compare(self, *, only_ends: bool = False) -> None:
        """Ask Asterisk for all channels and bridges and settle the differences.

        Args:
            only_ends: end what Asterisk no longer has, but delete, adopt and take nothing.

        Raises:
            AriError: Asterisk can't be asked.
        """
        before = {name: runner.state for name, runner in self._live.items()}
        channels, bridges = await self._with.client.channels(), await self._with.client.bridges()
        found = reconcile(
            channels, bridges, self._known(before), self._lately(), self._with.ids, self._with.application
        )
        for gone in found.vanished:
            if gone.call in self._live:
                self._live[gone.call].feed(_GONE[gone.what])
        if not only_ends:
            await self._settle(found)

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
        """Let go of all ports."""
        for runner in list(self._live.values()):
            await runner.abandon()
        self._live.clear()
        self._idle.set()

    async def _settle(self, found: Reconciliation) -> None:
        for orphan in found.orphan_channels:
            await self._with.client.delete_channel(orphan)
        for bridge in found.orphan_bridges:
            await self._with.client.delete_bridge(bridge)
        orphans = len(found.orphan_channels) + len(found.orphan_bridges)
        if orphans:
            self._with.counters.orphans_deleted += orphans
            log.info("channels and bridges without a call deleted", extra={"fields": {"count": orphans}})
        for pair in found.adopt:
            if pair.call not in self._live:
                self._add(pair.call, pair.caller).adopt(pair.port)
        for channel in found.stranded:
            self._started(channel)

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

    def _feed(self, parsed: tuple[str, str] | None, part: str, event: Event) -> None:
        if parsed is not None and parsed[1] == part and (runner := self._live.get(parsed[0])) is not None:
            runner.feed(event)

    def _add(self, call: str, caller: Channel) -> CallRunner:
        runner = CallRunner(self._with, call, caller, self._ended)
        self._live[call] = runner
        self._idle.clear()
        return runner

    def _ended(self, runner: CallRunner) -> None:
        del self._live[runner.call]
        record = runner.record()
        self._recent.append(record)
        if not runner.left_behind:
            self._ended_lately.append((self._with.monotonic(), runner.call))
        if record.refused is None:
            log.info("call ended", extra={"fields": log_fields(record)})
        if runner.arrived_again is not None:
            self._add(runner.call, runner.arrived_again).take()
        elif not self._live:
            self._idle.set()

    def _known(self, before: dict[str, State]) -> Iterable[KnownCall]:
        for name, runner in self._live.items():
            settled = runner.state is State.TALKING and before.get(name) is State.TALKING
            yield KnownCall(name, runner.caller.id, settled)

    def _lately(self) -> list[str]:
        oldest = self._with.monotonic() - ENDED_LATELY_SECONDS
        while self._ended_lately and self._ended_lately[0][0] < oldest:
            self._ended_lately.popleft()
        return [call for _, call in self._ended_lately]

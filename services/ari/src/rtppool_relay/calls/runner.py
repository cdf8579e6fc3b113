"""One call: runs the actions of the table against Asterisk and the media processes, and feeds back the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rtppool_core.net.udp import host_port
from rtppool_core.units import NS_PER_MS, NS_PER_SECOND, NS_PER_US
from rtppool_relay.ari.client import AriClient, media_address
from rtppool_relay.ari.errors import AriError, AriRefused, AriUnreachable
from rtppool_relay.ari.messages import Channel
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.record import CallCounters, CallRecord, masked
from rtppool_relay.calls.sound import ONE_WAY_AFTER_SECONDS, SILENT_AFTER_SECONDS, MediaState, MediaTrack
from rtppool_relay.calls.table import Action, Event, State, next_transition
from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.media.supervisor import MediaFault
from rtppool_relay.ports.interface import MediaPort, PortAllocator, Refused
from rtppool_relay.streams.flow import MediaFlow

log = logging.getLogger(__name__)

SETUP_SECONDS = 10.0
REFUSED_VARIABLE = "RTP_RELAY_REFUSED"
ENDED_VARIABLE = "RTP_RELAY_ENDED"
ADOPTION_SECONDS = 30.0
ADOPTION_PAUSE_SECONDS = 0.5
DELETE_TRIES = 3
DELETE_PAUSE_SECONDS = 0.5

_LEAVING = {State.REFUSING, State.BREAKING_OFF, State.CALLER_LEFT, State.ENDING, State.ENDED}
_PASSING = {"EchoUnreachable", "MediaDown", "NotReady"}
_NO_SOUND = {
    MediaState.SILENT: f"no RTP has come from Asterisk for {SILENT_AFTER_SECONDS:.0f} s: the caller sends none, or it "
    "does not reach Asterisk (a firewall, NAT without rtp_symmetric, direct_media)",
    MediaState.ONE_WAY: f"RTP comes from Asterisk, and for {ONE_WAY_AFTER_SECONDS:.0f} s nothing has gone back: the "
    "caller hears nothing. Does the echo answer (echo in /status)?",
}


@dataclass(frozen=True, slots=True)
class CallSurroundings:
    """What all calls of a relay share. `monotonic` is in seconds, `wall_ns` in ns of Unix time."""

    client: AriClient
    ports: PortAllocator
    ids: CallIds
    application: str
    counters: CallCounters
    monotonic: Callable[[], float]
    wall_ns: Callable[[], int]
    draining: Callable[[], bool]


class CallRunner:
    """One call from its caller's arrival (or its adoption) to its record. `ended` is called once, with the runner."""

    def __init__(
        self, surroundings: CallSurroundings, call: str, caller: Channel, ended: Callable[[CallRunner], None]
    ) -> None:
        self.call = call
        self.caller = caller
        self.state = State.OPENING
        self.arrived_again: Channel | None = None
        self.left_behind = False
        self._with = surroundings
        self._ended = ended
        self._media: MediaPort | None = None
        self._refusal: Refused | None = None
        self._was_refused = False
        self._refusal_seconds: float | None = None
        self._answered = False
        self._final: CallFigures | None = None
        self._track: MediaTrack | None = None
        self._media_state: MediaState | None = None
        self._no_sound: set[MediaState] = set()
        self._first_return_ns: int | None = None
        self._adopt_port: int | None = None
        self._left_ns: int | None = None
        self._gap_ns: int | None = None
        self._shared = False
        self._sip_call_id: str | None = None
        self._asterisk: str | None = None
        self._ended_by: Event | None = None
        self._started_seconds = surroundings.monotonic()
        self._started_ns = surroundings.wall_ns()
        self._ended_ns: int | None = None
        self._setup_seconds: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._steps: dict[Action, Callable[[], Awaitable[Event | None]]] = {
            Action.REFUSE: self._refuse,
            Action.ANSWER_AND_CREATE_BRIDGE: self._answer_and_create_bridge,
            Action.CREATE_MEDIA_AND_CONNECT: self._create_media_and_connect,
            Action.BRIDGE_BOTH: self._bridge_both,
            Action.RELEASE_CALLER: self._release_caller,
            Action.TEAR_DOWN: self._tear_down,
        }

    @property
    def leaving(self) -> bool:
        """The end is under way: a caller of the same id who arrives now is a new call."""
        return self.state in _LEAVING

    @property
    def port(self) -> int | None:
        """The port that this call holds, or is about to take back."""
        return self._media.port if self._media else self._adopt_port

    @property
    def media_state(self) -> MediaState | None:
        """Whether its packets flow, as last looked at; None before it was connected and after its end."""
        return None if self.leaving else self._media_state

    @property
    def shared(self) -> bool:
        """A third channel is in its bridge, or was."""
        return self._shared

    def take(self) -> None:
        """Begin with a caller who waits in our application."""
        self._limit = asyncio.get_running_loop().call_later(SETUP_SECONDS, self.feed, Event.TIMED_OUT)
        self._work([self._open])

    def adopt(self, port: int, left_ns: int | None = None) -> None:
        """Begin with a call that runs in Asterisk on `port` of this relay.

        `left_ns` is when the relay before left it (ns of Unix time), if that is known.
        """
        self.state, self._adopt_port, self._left_ns = State.ADOPTING, port, left_ns
        self._answered = True
        self._work([self._adopt])

    def feed(self, event: Event) -> None:
        """Let something happen to the call."""
        before = self.state
        self.state, actions = next_transition(before, event)
        if self.state in _LEAVING and before not in _LEAVING:
            self._ended_by = event
        if self.state is State.TALKING and before is not State.TALKING:
            self._talks()
        steps = [self._steps[action] for action in actions if action in self._steps]
        if Action.MARK_SHARED in actions:
            self._mark_shared()
        if Action.FORGET in actions:
            self._forget()
        elif steps:
            self._work(steps)

    def look_at_media(self) -> None:
        """Notice silence; call it every second or so."""
        if self._media is not None and not self.leaving:
            self._look_at(self._media.flow())

    def record(self) -> CallRecord:
        """The call as it is now."""
        media, refusal = self._media, self._refusal if self._was_refused else None
        return CallRecord(
            call=self.call,
            channel_id=self.caller.id,
            state=self.state.value,
            started_unix_ms=self._started_ns // 1_000_000,
            adopted=self._adopt_port is not None,
            shared=self._shared,
            caller_number=masked(self.caller.caller_number),
            sip_call_id=self._sip_call_id,
            port=self.port,
            asterisk=self._asterisk,
            setup_milliseconds=_milliseconds(self._setup_seconds),
            first_return_microseconds=None if self._first_return_ns is None else self._first_return_ns // NS_PER_US,
            gap_milliseconds=None if self._gap_ns is None else self._gap_ns // NS_PER_MS,
            media=self._media_state.value if self._media_state else None,
            ended_unix_ms=None if self._ended_ns is None else self._ended_ns // 1_000_000,
            ended_by=self._ended_by.value if self._ended_by else None,
            refused=refusal.reason if refusal else None,
            refusal=str(refusal) if refusal else None,
            refusal_milliseconds=_milliseconds(self._refusal_seconds),
            figures=self._final or (media.figures() if media else None),
        )

    async def abandon(self) -> None:
        """Stop working on it and close its port, whatever Asterisk says: the process ends."""
        if self._limit is not None:
            self._limit.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close_media()

    def _work(self, steps: list[Callable[[], Awaitable[Event | None]]]) -> None:
        self._task = asyncio.create_task(self._run(steps), name=f"call {self.call}")

    async def _run(self, steps: list[Callable[[], Awaitable[Event | None]]]) -> None:
        """One step of the table. Whatever fails in it is an event too, so that no call is left hanging."""
        result = await self._outcome(steps)
        if Action.FORGET in next_transition(self.state, result).actions:
            await self._close_media()
        self.feed(result)

    async def _outcome(self, steps: list[Callable[[], Awaitable[Event | None]]]) -> Event:
        result: Event | None = None
        try:
            for step in steps:
                result = await step()
        except AriRefused as refused:
            if await self._caller_has_left():
                log.debug("call %s: its caller has left: %s", self.call, refused)
                self.feed(Event.CALLER_GONE)
            else:
                log.warning("call %s: %s", self.call, refused)
            return self._failed()
        except (AriError, MediaFault) as error:
            log.warning("call %s: %s", self.call, error)
            return self._failed()
        except Exception:
            log.exception("call %s: unexpected", self.call)
            return self._failed()
        if result is None:
            raise AssertionError(f"the last step in {self.state} says nothing")
        return result

    async def _caller_has_left(self) -> bool:
        """Whether a refused request is only the first sign of a hang-up, whose event is still on its way."""
        if self.leaving:
            return False
        try:
            channels = await self._with.client.channels()
        except AriError:
            return False
        ours = {channel.id for channel in channels if channel.application == self._with.application}
        return self.caller.id not in ours

    async def _close_media(self) -> None:
        """Give the port back, whatever happened before. What can't be closed is a leak, which the next audits find."""
        if self._media is None:
            return
        try:
            self._final = await self._media.close()
            self._look_at(self._media.flow())
        except Exception:
            log.exception("call %s: port %d could not be closed", self.call, self._media.port)

    def _failed(self) -> Event:
        """An end that fails is an end all the same; what it left in Asterisk is swept up later."""
        if self.state is not State.ENDING:
            return Event.STEP_FAILED
        self.left_behind = True
        return Event.TORN_DOWN

    async def _open(self) -> Event:
        if self._with.draining():
            self._refusal = Refused("Draining", "the relay is being stopped")
            return Event.REFUSED
        try:
            self._media = await self._with.ports.open(self.call)
        except Refused as refused:
            self._refusal = refused
            return Event.REFUSED
        self._with.counters.accepted += 1
        return Event.OPENED

    async def _refuse(self) -> Event:
        refusal = self._refusal or Refused("NotReady", "the relay failed; its log says why")
        self._refusal, self._was_refused = refusal, True
        log.warning(
            "call refused: %s", refusal, extra={"fields": {"channel": self.caller.id, "reason": refusal.reason}}
        )
        await self._give_back(REFUSED_VARIABLE, refusal.reason)
        self._refusal_seconds = self._with.monotonic() - self._started_seconds
        self._with.counters.refusal.add(round(self._refusal_seconds * NS_PER_SECOND))
        return Event.REFUSAL_SENT

    async def _answer_and_create_bridge(self) -> Event:
        # Both at once, and both to their end: a bridge that is made after the teardown would stay.
        bridge = asyncio.create_task(self._with.client.create_bridge(self._with.ids.bridge(self.call)))
        try:
            await self._with.client.answer(self.caller.id)
            self._answered = True
        finally:
            await asyncio.wait({bridge})
        await bridge
        return Event.ANSWERED

    async def _create_media_and_connect(self) -> Event:
        media = self._open_media()
        channel = await self._with.client.create_media(
            self._with.ids.media(self.call),
            self._with.application,
            host_port(media.advertised_address, media.port),
            self._with.ports.media_format,
        )
        await self._connect(media, channel)
        return Event.CONNECTED

    async def _bridge_both(self) -> Event:
        ids = self._with.ids
        await self._with.client.add_to_bridge(ids.bridge(self.call), (self.caller.id, ids.media(self.call)))
        self._setup_seconds = self._with.monotonic() - self._started_seconds
        self._with.counters.setup.add(round(self._setup_seconds * NS_PER_SECOND))
        await self._ask_sip_call_id()
        return Event.BRIDGED

    async def _adopt(self) -> Event:
        port = self._adopt_port or 0
        give_up_at = self._with.monotonic() + ADOPTION_SECONDS
        while True:
            try:
                media = self._media = await self._with.ports.adopt(self.call, port)
                break
            except Refused as refused:
                # Right after a start the echo's name may not be resolved yet: the call talks on meanwhile.
                if refused.reason not in _PASSING or self._with.monotonic() > give_up_at:
                    log.warning("call %s on port %d can't be adopted: %s", self.call, port, refused)
                    return Event.REFUSED
            if self.state is not State.ADOPTING:
                return Event.STEP_FAILED
            await asyncio.sleep(ADOPTION_PAUSE_SECONDS)
        await self._connect_adopted(media, give_up_at)
        await self._ask_sip_call_id()
        self._with.counters.adopted += 1
        self._with.counters.handed_over += self._left_ns is not None
        return Event.ADOPTED

    async def _release_caller(self) -> None:
        try:
            await self._give_back(ENDED_VARIABLE, (self._ended_by or Event.STEP_FAILED).value)
        except AriError as error:
            log.warning("call %s: its caller could not be sent back to the dialplan: %s", self.call, error)
        except Exception:
            log.exception("call %s: unexpected while its caller was sent back to the dialplan", self.call)

    async def _tear_down(self) -> Event:
        ids, client = self._with.ids, self._with.client
        media_deleted = await self._deleted(lambda: client.delete_channel(ids.media(self.call)))
        bridge_deleted = await self._deleted(lambda: client.delete_bridge(ids.bridge(self.call)))
        self.left_behind = not (media_deleted and bridge_deleted)
        return Event.TORN_DOWN

    async def _deleted(self, delete: Callable[[], Awaitable[None]]) -> bool:
        """False when it is left behind: then a sweep deletes it as an orphan."""
        for attempt in range(1, DELETE_TRIES + 1):
            try:
                await delete()
            except AriUnreachable:
                return False
            except AriError as error:
                if attempt == DELETE_TRIES:
                    log.warning("call %s: left for the next sweep: %s", self.call, error)
                    return False
                await asyncio.sleep(DELETE_PAUSE_SECONDS)
            else:
                return True
        return False

    async def _give_back(self, variable: str, value: str) -> None:
        """Send the caller on in the dialplan, with the reason; one who has hung up needs none of it."""
        try:
            await self._with.client.set_variable(self.caller.id, variable, value)
            await self._with.client.continue_in_dialplan(self.caller.id)
        except AriRefused as refused:
            log.debug("call %s: its caller has left: %s", self.call, refused)

    async def _connect(self, media: MediaPort, channel: Channel) -> None:
        peer = await media_address(self._with.client, channel)
        self._asterisk = host_port(peer.address, peer.port)
        await media.connect(peer.address, peer.port)

    async def _connect_adopted(self, media: MediaPort, give_up_at: float) -> None:
        """An Asterisk that does not answer for a moment must not cost a call that talks on there."""
        while True:
            try:
                return await self._connect(media, Channel(self._with.ids.media(self.call), ""))
            except AriUnreachable as error:
                if self.state is not State.ADOPTING or self._with.monotonic() > give_up_at:
                    raise
                log.debug("call %s is asked for again: %s", self.call, error)
            await asyncio.sleep(ADOPTION_PAUSE_SECONDS)

    async def _ask_sip_call_id(self) -> None:
        """Callers that came another way than SIP have none; that it can't be asked for must not cost the call."""
        try:
            self._sip_call_id = await self._with.client.variable(self.caller.id, "CHANNEL(pjsip,call-id)")
        except AriError as error:
            log.debug("call %s: no SIP Call-ID: %s", self.call, error)

    def _open_media(self) -> MediaPort:
        if self._media is None:
            raise MediaFault(f"call {self.call} has no port")
        return self._media

    def _talks(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        media = self._open_media()
        self._track = MediaTrack(self._with.monotonic())
        fields = {"call": self.call, "port": media.port, "asterisk": self._asterisk}
        if self._setup_seconds is not None:
            fields["setup_ms"] = round(self._setup_seconds * 1000)
        log.info("call adopted" if self._adopt_port else "call connected", extra={"fields": fields})

    def _measure_gap(self, first_arrival_ns: int) -> None:
        """Both are wall-clock times; one that ran backwards meanwhile tells nothing."""
        if self._left_ns is not None and first_arrival_ns >= self._left_ns:
            self._gap_ns = first_arrival_ns - self._left_ns
            self._with.counters.gap.add(self._gap_ns)

    def _look_at(self, flow: MediaFlow) -> None:
        if self._track is None:
            return
        if self._first_return_ns is None and flow.first_return_ns is not None:
            self._first_return_ns = flow.first_return_ns
            self._with.counters.first_return.add(flow.first_return_ns)
        if self._gap_ns is None and flow.first_arrival_ns is not None:
            self._measure_gap(flow.first_arrival_ns)
        before, self._media_state = self._media_state, self._track.look(flow, self._with.monotonic())
        if self._media_state is not before:
            self._media_changed(before, self._media_state)

    def _media_changed(self, before: MediaState | None, now: MediaState) -> None:
        if now in _NO_SOUND:
            log.warning("call %s: %s", self.call, _NO_SOUND[now], extra={"fields": {"port": self.port}})
            if now not in self._no_sound:
                self._no_sound.add(now)
                self._with.counters.went_silent += now is MediaState.SILENT
                self._with.counters.went_one_way += now is MediaState.ONE_WAY
        elif before in _NO_SOUND:
            log.info("call %s: its media flows now", self.call, extra={"fields": {"media": now.value}})

    def _mark_shared(self) -> None:
        if not self._shared:
            self._shared = True
            log.warning(
                "call %s: a third channel is in its bridge; Asterisk mixes now, and its 20 ms are measured too",
                self.call,
            )

    def _forget(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._ended_ns = self._with.wall_ns()
        if self._was_refused and self._refusal is not None:
            self._with.counters.refuse(self._refusal.reason)
        else:
            self._with.counters.end(self._ended_by or Event.STEP_FAILED, answered=self._answered)
        self._ended(self)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)

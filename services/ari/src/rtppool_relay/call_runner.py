"""One call in the works: runs the table's actions against Asterisk and the media plane, and feeds back the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rtppool_core.udp import host_port
from rtppool_relay.ari_client import AriClient, media_address
from rtppool_relay.ari_errors import AriError, AriRefused, AriUnreachable
from rtppool_relay.ari_messages import Channel
from rtppool_relay.call_ids import CallIds
from rtppool_relay.call_record import CallCounters, CallRecord, masked
from rtppool_relay.calls import Action, Event, State, next_transition
from rtppool_relay.media_plane import CallFigures, CallMedia, MediaFault, MediaPlane, Refused

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


@dataclass(frozen=True, slots=True)
class CallSurroundings:
    """What all calls of a relay share. `monotonic` is in seconds, `wall_ns` in ns of Unix time."""

    client: AriClient
    plane: MediaPlane
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
        self._media: CallMedia | None = None
        self._refusal: Refused | None = None
        self._final: CallFigures | None = None
        self._adopt_port: int | None = None
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

    def take(self) -> None:
        """Begin with a caller who waits in our application."""
        self._limit = asyncio.get_running_loop().call_later(SETUP_SECONDS, self.feed, Event.TIMED_OUT)
        self._work([self._open])

    def adopt(self, port: int) -> None:
        """Begin with a call that runs in Asterisk on `port` of this relay."""
        self.state, self._adopt_port = State.ADOPTING, port
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

    def record(self) -> CallRecord:
        """The call as it is now."""
        media = self._media
        return CallRecord(
            call=self.call,
            channel_id=self.caller.id,
            state=self.state.value,
            started_unix_ms=self._started_ns // 1_000_000,
            adopted=self._adopt_port is not None,
            shared=self._shared,
            caller_number=masked(self.caller.caller_number),
            sip_call_id=self._sip_call_id,
            port=media.port if media else self._adopt_port,
            asterisk=self._asterisk,
            setup_milliseconds=None if self._setup_seconds is None else round(self._setup_seconds * 1000),
            ended_unix_ms=None if self._ended_ns is None else self._ended_ns // 1_000_000,
            ended_by=self._ended_by.value if self._ended_by else None,
            refused=self._refusal.reason if self._refusal else None,
            refusal=str(self._refusal) if self._refusal else None,
            figures=self._final or (media.figures() if media else None),
        )

    async def abandon(self) -> None:
        """Stop working on it and close its port, whatever Asterisk says: the process ends."""
        if self._limit is not None:
            self._limit.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._media is not None:
            await self._media.close()

    def _work(self, steps: list[Callable[[], Awaitable[Event | None]]]) -> None:
        self._task = asyncio.create_task(self._run(steps), name=f"call {self.call}")

    async def _run(self, steps: list[Callable[[], Awaitable[Event | None]]]) -> None:
        """One step of the table. Whatever fails in it is an event too, so that no call is left hanging."""
        result: Event | None = None
        try:
            for step in steps:
                result = await step()
        except (AriError, MediaFault) as error:
            log.warning("call %s: %s", self.call, error)
            result = self._failed()
        except Exception:
            log.exception("call %s: unexpected", self.call)
            result = self._failed()
        if result is None:
            raise AssertionError(f"the last step in {self.state} says nothing")
        self.feed(result)

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
            self._media = await self._with.plane.open(self.call)
        except Refused as refused:
            self._refusal = refused
            return Event.REFUSED
        self._with.counters.accepted += 1
        return Event.OPENED

    async def _refuse(self) -> Event:
        refusal = self._refusal or Refused("NotReady", "the relay failed; its log says why")
        self._refusal = refusal
        self._with.counters.refuse(refusal.reason)
        log.warning(
            "call refused: %s", refusal, extra={"fields": {"channel": self.caller.id, "reason": refusal.reason}}
        )
        await self._give_back(REFUSED_VARIABLE, refusal.reason)
        return Event.REFUSAL_SENT

    async def _answer_and_create_bridge(self) -> Event:
        await self._with.client.answer(self.caller.id)
        await self._with.client.create_bridge(self._with.ids.bridge(self.call))
        return Event.ANSWERED

    async def _create_media_and_connect(self) -> Event:
        media = self._open_media()
        channel = await self._with.client.create_media(
            self._with.ids.media(self.call),
            self._with.application,
            host_port(media.advertised_address, media.port),
            self._with.plane.media_format,
        )
        await self._connect(media, channel)
        return Event.CONNECTED

    async def _bridge_both(self) -> Event:
        ids = self._with.ids
        await self._with.client.add_to_bridge(ids.bridge(self.call), (self.caller.id, ids.media(self.call)))
        self._setup_seconds = self._with.monotonic() - self._started_seconds
        await self._ask_sip_call_id()
        return Event.BRIDGED

    async def _adopt(self) -> Event:
        port = self._adopt_port or 0
        give_up_at = self._with.monotonic() + ADOPTION_SECONDS
        while True:
            try:
                media = self._media = await self._with.plane.adopt(self.call, port)
                break
            except Refused as refused:
                # Right after a start the echo's name may not be resolved yet: the call talks on meanwhile.
                if refused.reason not in _PASSING or self._with.monotonic() > give_up_at:
                    log.warning("call %s on port %d can't be adopted: %s", self.call, port, refused)
                    return Event.REFUSED
            if self.state is not State.ADOPTING:
                return Event.STEP_FAILED
            await asyncio.sleep(ADOPTION_PAUSE_SECONDS)
        await self._connect(media, Channel(self._with.ids.media(self.call), ""))
        await self._ask_sip_call_id()
        self._with.counters.adopted += 1
        return Event.ADOPTED

    async def _release_caller(self) -> None:
        try:
            await self._give_back(ENDED_VARIABLE, (self._ended_by or Event.STEP_FAILED).value)
        except AriError as error:
            log.warning("call %s: its caller could not be sent back to the dialplan: %s", self.call, error)

    async def _tear_down(self) -> Event:
        ids, client = self._with.ids, self._with.client
        media_deleted = await self._deleted(lambda: client.delete_channel(ids.media(self.call)))
        bridge_deleted = await self._deleted(lambda: client.delete_bridge(ids.bridge(self.call)))
        self.left_behind = not (media_deleted and bridge_deleted)
        if self._media is not None:
            self._final = await self._media.close()
        return Event.TORN_DOWN

    async def _deleted(self, delete: Callable[[], Awaitable[None]]) -> bool:
        """False when Asterisk can't be reached: then it is deleted as an orphan, once it is back."""
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

    async def _connect(self, media: CallMedia, channel: Channel) -> None:
        peer = await media_address(self._with.client, channel)
        self._asterisk = host_port(peer.address, peer.port)
        await media.connect(peer.address, peer.port)

    async def _ask_sip_call_id(self) -> None:
        """Callers that came another way than SIP have none; that it can't be asked for must not cost the call."""
        try:
            self._sip_call_id = await self._with.client.variable(self.caller.id, "CHANNEL(pjsip,call-id)")
        except AriError as error:
            log.debug("call %s: no SIP Call-ID: %s", self.call, error)

    def _open_media(self) -> CallMedia:
        if self._media is None:
            raise MediaFault(f"call {self.call} has no port")
        return self._media

    def _talks(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        media = self._open_media()
        fields = {"call": self.call, "port": media.port, "asterisk": self._asterisk}
        if self._setup_seconds is not None:
            fields["setup_ms"] = round(self._setup_seconds * 1000)
        log.info("call adopted" if self._adopt_port else "call connected", extra={"fields": fields})

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
        if self._ended_by is Event.CUT:
            self._with.counters.cut += 1
        if self._refusal is None:
            self._with.counters.ended += 1
        self._ended(self)

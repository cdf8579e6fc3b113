"""One call: runs the actions of the table against Asterisk and the ports, and feeds the outcome back."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rtppool_core.net.udp import host_port
from rtppool_core.units import NS_PER_MS, NS_PER_SECOND, NS_PER_US
from rtppool_relay.ari.errors import AriError, AriRefused, AriUnreachable
from rtppool_relay.ari.messages import Channel
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.caller_numbers import CallerNumbers
from rtppool_relay.calls.entrance import Entrance
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.record import CallCounters, CallRecord
from rtppool_relay.calls.returns import give_back
from rtppool_relay.calls.sound import NO_SOUND, OBSERVED, SoundState, SoundTrack
from rtppool_relay.calls.table import LEAVING, SET_UP, TABLE, CallEvent, CallState
from rtppool_relay.media.media_process import MediaFault
from rtppool_relay.ports.interface import MediaPort, PortAllocator, Refused
from rtppool_relay.streams.flow import MediaFlow

log = logging.getLogger(__name__)

SETUP_SECONDS = 10.0
REFUSED_VARIABLE = "RTP_RELAY_REFUSED"
ENDED_VARIABLE = "RTP_RELAY_ENDED"
ADOPTION_PAUSE_SECONDS = 0.5
MAX_ADOPTIONS_AT_ONCE = 16
MAX_DELETE_TRIES = 3
DELETE_PAUSE_SECONDS = 0.5
OBSERVE_AGAIN_SECONDS = 10.0

Step = Callable[[], Awaitable[CallEvent | None]]


@dataclass(frozen=True, slots=True)
class CallContext:
    """The collaborators of all calls of a relay. `monotonic` is in seconds, `wall_ns` in ns of Unix time.

    `old_ids` are forms of the ids that an earlier relay may have created. `adoptions` bounds the adoptions that send
    requests at once.
    """

    client: AriClient
    ports: PortAllocator
    ids: CallIds
    application: str
    counters: CallCounters
    monotonic: Callable[[], float]
    wall_ns: Callable[[], int]
    draining: Callable[[], bool]
    old_ids: tuple[CallIds, ...] = ()
    caller_numbers: CallerNumbers = field(default_factory=CallerNumbers)
    entrance: Entrance = field(default_factory=Entrance)
    adoptions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_ADOPTIONS_AT_ONCE))


class CallRunner:
    """One call from its caller's arrival, or its adoption, to its end.

    The methods that `TABLE` names run here. Coroutines are steps: they run one after another, and the last one returns
    the event that ends them. `retire` is called once, after the end.

    Attributes:
        record: the call's state and figures.
        ids: the form of the ids of this call's objects.
        left_behind: the teardown could not delete every part of the call in Asterisk.
        unreturned: variable and reason of a caller who could not be given back to the dialplan, or None.
    """

    def __init__(
        self,
        context: CallContext,
        call: str,
        caller: Channel,
        retire: Callable[[CallRunner], None],
        ids: CallIds | None = None,
    ) -> None:
        self.record = CallRecord(
            call=call,
            channel_id=caller.id,
            state=CallState.NEW,
            started_unix_ms=context.wall_ns() // NS_PER_MS,
            caller_number=context.caller_numbers.shown(caller.caller_number),
        )
        self.ids = ids if ids is not None else context.ids
        self.left_behind = False
        self.unreturned: tuple[str, str] | None = None
        self._context = context
        self._caller_number = caller.caller_number
        self._retire = retire
        self._started_seconds = context.monotonic()
        self._left_ns: int | None = None
        self._answered = False
        self._refusal = Refused("NotReady", "the relay failed; its log says why")
        self._port: MediaPort | None = None
        self._sound: SoundTrack | None = None
        self._counted_sounds: set[SoundState] = set()
        self._observation: asyncio.Task[None] | None = None
        self._observe_at_seconds = 0.0
        self._task: asyncio.Task[None] | None = None
        self._limit: asyncio.TimerHandle | None = None

    @property
    def is_leaving(self) -> bool:
        """Whether the end is under way. A caller of the same id who arrives now is a new call."""
        return self.record.state in LEAVING

    @property
    def is_in_setup(self) -> bool:
        """Whether requests of the set-up or of a refusal are under way."""
        return self.record.state in SET_UP

    def replace_caller(self, channel: str) -> None:
        """Go on with another channel that took the caller's place in the bridge, after an attended transfer."""
        self.record.channel_id = channel

    def take(self) -> None:
        """Begin with a caller who waits in the application."""
        self._limit = asyncio.get_running_loop().call_later(SETUP_SECONDS, self.feed, CallEvent.TIMED_OUT)
        self.feed(CallEvent.ARRIVED)

    def adopt(self, port: int, left_ns: int | None = None) -> None:
        """Begin with a call that runs in Asterisk on `port` of this relay.

        Args:
            port: the relay's port in the name of the media channel.
            left_ns: the departure of the previous relay in ns of Unix time, or None where it is unknown.
        """
        self.record.port, self.record.adopted = port, True
        self._left_ns, self._answered = left_ns, True
        self.feed(CallEvent.FOUND)

    async def wait_for_adoption(self) -> None:
        """Return when the call is not, or no longer, being adopted."""
        if self.record.state is CallState.ADOPTING and self._task is not None:
            await asyncio.wait({self._task})

    def feed(self, event: CallEvent) -> None:
        """Move to the next state of the table and run its actions."""
        was_leaving = self.is_leaving
        self.record.state, actions = TABLE[self.record.state][event]
        if self.is_leaving and not was_leaving:
            self.record.ended_by = event
        steps: list[Step] = []
        for method in (getattr(self, f"_{action}") for action in actions):
            if inspect.iscoroutinefunction(method):
                steps.append(method)
            else:
                method()
        if steps:
            self._task = asyncio.create_task(self._run(steps), name=f"call {self.record.call}")

    def check_sound(self) -> None:
        """Update the state of the sound from the packets so far."""
        if self._port is not None and not self.is_leaving:
            self._update_sound(self._port.flow())
            self._observe_senders(self._port)

    def excuse_digit(self, duration_milliseconds: int) -> None:
        """Count no loss for the audio that Asterisk withheld during a digit of the caller."""
        if self._port is not None:
            self._port.excuse_digit(duration_milliseconds / 1000)

    def update_figures(self) -> CallRecord:
        """Return the record with the figures up to now."""
        if self._port is not None:
            self.record.figures = self._port.figures()
        return self.record

    async def abandon(self) -> None:
        """Stop all work and close the port without a request to Asterisk: the process ends."""
        if self._limit is not None:
            self._limit.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close_port()

    async def _run(self, steps: list[Step]) -> None:
        """Run steps and feed the event of the last one. A failure is an event too, so that no call is left hanging."""
        call, event = self.record.call, None
        try:
            for step in steps:
                event = await step()
        except AriRefused as refused:
            event = CallEvent.STEP_FAILED
            if await self._caller_has_left():
                log.debug("call %s: its caller has left: %s", call, refused)
                self.feed(CallEvent.CALLER_GONE)
            else:
                log.warning("call %s: %s", call, refused)
        except (AriError, MediaFault) as error:
            event = CallEvent.STEP_FAILED
            log.warning("call %s: %s", call, error)
        except Exception:
            event = CallEvent.STEP_FAILED
            log.exception("call %s: unexpected", call)
        if event is None:
            raise AssertionError(f"the last step in {self.record.state} returned no event")
        self.feed(event)

    async def _caller_has_left(self) -> bool:
        """Check whether a refused request is only the first sign of a hang-up, whose event is still under way."""
        if self.is_leaving:
            return False
        try:
            channel = await self._context.client.channel(self.record.channel_id)
        except AriError:
            return False
        # Asterisk describes some channels without a name and an application. They are still there.
        return channel is None or (bool(channel.name) and channel.application is None)

    async def _open_port(self) -> CallEvent:
        if self._context.draining():
            self._refusal = Refused("Draining", "the relay is being stopped")
            return CallEvent.REFUSED
        try:
            await self._context.entrance.enter()
            self._port = await self._context.ports.open(self.record.call)
        except Refused as refused:
            self._refusal = refused
            return CallEvent.REFUSED
        self.record.port = self._port.port
        self._context.counters.accepted += 1
        return CallEvent.OPENED

    async def _refuse(self) -> CallEvent:
        refusal, record = self._refusal, self.record
        record.refused, record.refusal = refusal.reason, str(refusal)
        fields = {"channel": record.channel_id, "reason": refusal.reason}
        log.warning("call refused: %s", refusal, extra={"fields": fields, "cause": refusal.reason})
        await self._give_back(REFUSED_VARIABLE, refusal.reason)
        seconds = self._context.monotonic() - self._started_seconds
        record.refusal_milliseconds = round(seconds * 1000)
        self._context.counters.refusal.add(round(seconds * NS_PER_SECOND))
        return CallEvent.REFUSAL_SENT

    async def _answer_and_create_bridge(self) -> CallEvent:
        # Both at once, and both to their end: a bridge that is created after the teardown would stay.
        client = self._context.client
        answered, bridged = await asyncio.gather(
            client.answer(self.record.channel_id),
            client.create_bridge(self.ids.bridge(self.record.call)),
            return_exceptions=True,
        )
        self._answered = answered is None
        for failure in (answered, bridged):
            if failure is not None:
                raise failure
        return CallEvent.ANSWERED

    async def _create_media_and_connect(self) -> CallEvent:
        port = self._require_port()
        channel = await self._context.client.create_media(
            self.ids.media(self.record.call),
            self._context.application,
            host_port(*port.announce()),
            self._context.ports.media_format,
        )
        await self._connect(port, channel)
        return CallEvent.CONNECTED

    async def _bridge_both(self) -> CallEvent:
        ids, call = self.ids, self.record.call
        await self._context.client.add_to_bridge(ids.bridge(call), (self.record.channel_id, ids.media(call)))
        seconds = self._context.monotonic() - self._started_seconds
        self.record.setup_milliseconds = round(seconds * 1000)
        self._context.counters.setup.add(round(seconds * NS_PER_SECOND))
        await self._read_sip_call_id()
        return CallEvent.BRIDGED

    async def _adopt_port(self) -> CallEvent:
        """Lease the port and connect it, trying again as long as the call exists.

        A port that another process holds, or an Asterisk that is silent for a moment, must not cost a call that talks.
        """
        level = logging.WARNING
        while self.record.state is CallState.ADOPTING:
            try:
                async with self._context.adoptions:
                    await self._try_adoption()
            except (Refused, AriError, MediaFault) as error:
                log.log(level, "call %s on port %d is not adopted yet: %s", self.record.call, self.record.port, error)
                level = logging.DEBUG
                await asyncio.sleep(ADOPTION_PAUSE_SECONDS)
                continue
            self._context.counters.adopted += 1
            self._context.counters.handed_over += self._left_ns is not None
            return CallEvent.ADOPTED
        return CallEvent.STEP_FAILED

    async def _try_adoption(self) -> None:
        if self._port is None:
            self._port = await self._context.ports.adopt(self.record.call, self.record.port or 0)
        await self._connect(self._port, Channel(self.ids.media(self.record.call), ""))
        await self._read_sip_call_id()

    def _begin_talking(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        record, self._sound = self.record, SoundTrack(self._context.monotonic())
        fields = {"call": record.call, "port": self._require_port().port, "asterisk": record.asterisk}
        if record.setup_milliseconds is not None:
            fields["setup_ms"] = record.setup_milliseconds
        log.info("call adopted" if record.adopted else "call connected", extra={"fields": fields})

    def _mark_shared(self) -> None:
        if not self.record.shared:
            self.record.shared = True
            log.warning(
                "call %s: a third channel is in its bridge; Asterisk mixes now, and its 20 ms are measured too",
                self.record.call,
            )

    async def _release_caller(self) -> None:
        call = self.record.call
        try:
            await self._give_back(ENDED_VARIABLE, self.record.ended_by or CallEvent.STEP_FAILED)
        except AriError as error:
            log.warning("call %s: its caller could not be sent back to the dialplan: %s", call, error)
        except Exception:
            log.exception("call %s: unexpected while its caller was sent back to the dialplan", call)

    async def _tear_down(self) -> None:
        ids, client, call = self.ids, self._context.client, self.record.call
        media_deleted = await self._delete(lambda: client.delete_channel(ids.media(call)))
        bridge_deleted = await self._delete(lambda: client.delete_bridge(ids.bridge(call)))
        self.left_behind = not (media_deleted and bridge_deleted)

    async def _close_port(self) -> CallEvent:
        """Release the port and keep its last figures. A port that cannot be closed is a leak, which audits find."""
        port = self._port
        if port is not None:
            try:
                self.record.figures = await port.close()
                self._update_sound(port.flow())
                self._port = None
            except Exception:
                log.exception("call %s: port %d could not be closed", self.record.call, port.port)
        return CallEvent.TORN_DOWN

    def _forget(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        record, counters = self.record, self._context.counters
        record.ended_unix_ms = self._context.wall_ns() // NS_PER_MS
        if record.refused is not None:
            counters.count_refusal(record.refused)
        else:
            counters.count_end(record.ended_by or CallEvent.STEP_FAILED, answered=self._answered)
        self._retire(self)

    async def _delete(self, request: Callable[[], Awaitable[None]]) -> bool:
        """Return False where the part stays. A later comparison deletes it as an orphan."""
        for tries_left in reversed(range(MAX_DELETE_TRIES)):
            try:
                await request()
            except AriUnreachable:
                return False
            except AriError as error:
                if not tries_left:
                    log.warning("call %s: left for the next sweep: %s", self.record.call, error)
                    return False
                await asyncio.sleep(DELETE_PAUSE_SECONDS)
            except Exception:
                log.exception("call %s: unexpected in the teardown", self.record.call)
                return False
            else:
                return True
        return False

    async def _give_back(self, variable: str, value: str) -> None:
        """Send the caller on in the dialplan with a reason. A caller who has hung up needs neither."""
        try:
            await give_back(self._context.client, self.record.channel_id, variable, value)
        except BaseException:
            self.unreturned = variable, value
            raise

    async def _connect(self, port: MediaPort, channel: Channel) -> None:
        address, asterisk_port = await self._context.client.media_address(channel)
        self.record.asterisk = host_port(address, asterisk_port)
        await port.connect(address, asterisk_port)

    async def _read_sip_call_id(self) -> None:
        """Read the SIP Call-ID, which callers on other channels lack. A failure must not cost the call."""
        try:
            context, call_id = self._context, "CHANNEL(pjsip,call-id)"
            found = await context.client.variable(self.record.channel_id, call_id)
            self.record.sip_call_id = found and context.caller_numbers.hide_in(found, self._caller_number)
        except AriError as error:
            log.debug("call %s: no SIP Call-ID: %s", self.record.call, error)

    def _require_port(self) -> MediaPort:
        if self._port is None:
            raise MediaFault(f"call {self.record.call} has no port")
        return self._port

    def _update_sound(self, flow: MediaFlow) -> None:
        if self._sound is None:
            return
        record, counters = self.record, self._context.counters
        if record.first_return_microseconds is None and flow.first_return_ns is not None:
            record.first_return_microseconds = flow.first_return_ns // NS_PER_US
            counters.first_return.add(flow.first_return_ns)
        if record.gap_milliseconds is None and flow.first_arrival_ns is not None:
            self._measure_gap(flow.first_arrival_ns)
        before, record.media = record.media, self._sound.update(flow, self._context.monotonic())
        if record.media is not before:
            self._report_sound(before, record.media)

    def _observe_senders(self, port: MediaPort) -> None:
        """Observe a port without packets, now and at intervals: Asterisk may send from another address."""
        now = self._context.monotonic()
        if self.record.media in OBSERVED and self._observation is None and now >= self._observe_at_seconds:
            self._observe_at_seconds = now + OBSERVE_AGAIN_SECONDS
            self._observation = asyncio.create_task(self._report_senders(port))

    async def _report_senders(self, port: MediaPort) -> None:
        try:
            reason = await port.observe_senders()
            if reason is not None and self.record.media in OBSERVED and reason != self.record.media_reason:
                self.record.media_reason = reason
                log.warning("call %s: %s", self.record.call, reason, extra={"fields": {"port": self.record.port}})
        except Exception:
            log.exception("call %s: its port could not be observed", self.record.call)
        finally:
            self._observation = None

    def _measure_gap(self, first_arrival_ns: int) -> None:
        """Record the gap. Both times are wall-clock times: a clock that ran backwards between them yields none."""
        if self._left_ns is not None and first_arrival_ns >= self._left_ns:
            gap_ns = first_arrival_ns - self._left_ns
            self.record.gap_milliseconds = gap_ns // NS_PER_MS
            self._context.counters.gap.add(gap_ns)

    def _report_sound(self, before: SoundState | None, now: SoundState) -> None:
        call, counters = self.record.call, self._context.counters
        self.record.media_reason = NO_SOUND.get(now)
        if now in NO_SOUND:
            log.warning("call %s: %s", call, NO_SOUND[now], extra={"fields": {"port": self.record.port}})
            if now not in self._counted_sounds:
                self._counted_sounds.add(now)
                counters.went_silent += now is SoundState.SILENT
                counters.went_one_way += now is SoundState.ONE_WAY
        elif before in NO_SOUND:
            log.info("call %s: its media flows now", call, extra={"fields": {"media": now.value}})

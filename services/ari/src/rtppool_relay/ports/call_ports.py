"""The relay's leased ports: leases ports, binds and connects their sockets, gives them to media processes, measures."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from rtppool_core.net.udp import BindError, family_of, host_port
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.config import RelayConfig
from rtppool_relay.figures.call_figures import CallFigures, call_figures
from rtppool_relay.figures.measurement import Measurement, StreamKind
from rtppool_relay.figures.sla import judge
from rtppool_relay.media.port_sockets import PortSockets, bind_pair, can_bind
from rtppool_relay.media.supervisor import Attachment, MediaFault, MediaSupervisor
from rtppool_relay.ports.asterisk_seen import AsteriskSeen
from rtppool_relay.ports.echo_moves import EchoMoves
from rtppool_relay.ports.echo_resolver import EchoResolver
from rtppool_relay.ports.interface import RefusalReason, Refused
from rtppool_relay.ports.leak_suspects import LeakSuspects
from rtppool_relay.ports.own_address import OwnAddress, bound_address, hearing_address
from rtppool_relay.ports.port_manager import PortManager, PortsExhausted
from rtppool_relay.streams.flow import MediaFlow
from rtppool_relay.streams.row_reader import RowReader
from rtppool_relay.streams.statistics import StreamStatistics

log = logging.getLogger(__name__)

TRIALS_AT_ONCE = 64
# As many as a media process is asked at a time.
MOVES_AT_ONCE = 32


@dataclass(slots=True)
class LeasedPort:
    """One leased port: `MediaPort` for calls, and what the probe runs on.

    `most_calls`: the most that were active in its time; a call is judged by that tier.
    """

    call_ports: CallPorts
    kind: StreamKind
    port: int
    advertised_address: str
    sockets: PortSockets
    slot: int
    statistics: StreamStatistics
    attachment: Attachment | None = None
    most_calls: int = 0
    last: CallFigures | None = None
    _closing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def connect(self, address: str, port: int) -> None:
        """See `MediaPort.connect`."""
        try:
            self.sockets.asterisk.connect((address, port))
        except OSError as error:
            raise MediaFault(
                f"port {self.port} can't be connected to {host_port(address, port)}: {error.strerror}; "
                "is ADVERTISE_IP an address that Asterisk reaches, and BIND_IP one that reaches Asterisk?"
            ) from error
        if self.kind == "calls":
            source = str(self.sockets.asterisk.getsockname()[0])
            self.call_ports.asterisk.note((address, port), source, self.advertised_address)
        self.attachment = self.call_ports.attachment(self, (address, port))
        await self.call_ports.supervisor.attach(self.attachment)

    def aims_elsewhere(self, address: tuple[str, int]) -> bool:
        """Whether it sends to another echo than that at `address`."""
        return self.sockets.echo.fileno() >= 0 and self.sockets.echo.getpeername()[:2] != address

    def figures(self) -> CallFigures:
        """See `MediaPort.figures`."""
        return self.last or self.call_ports.call_figures(self)

    def flow(self) -> MediaFlow:
        """See `MediaPort.flow`."""
        return self.statistics.flow

    async def close(self) -> CallFigures:
        """See `MediaPort.close`."""
        async with self._closing:
            if self.last is None:
                await self.call_ports.give_up(self)
                self.last = self.call_ports.call_figures(self)
        return self.last


class CallPorts:
    """Implements `PortAllocator`. `config` tells the configuration in force, `clock` monotonic seconds.

    With `admission` a call is refused where one more would break its tier; see `AdmissionControl`.
    """

    def __init__(
        self,
        config: Callable[[], RelayConfig],
        bind_ip: str,
        dscp: int,
        ari_host: str,
        ports: PortManager,
        supervisor: MediaSupervisor,
        resolver: EchoResolver,
        measurement: Measurement,
        admission: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._config = config
        self._bind_ip = bind_ip
        self._dscp = dscp
        self.own_address = OwnAddress(ari_host)
        self.ports = ports
        self.supervisor = supervisor
        self.resolver = resolver
        self.measurement = measurement
        self._admission = admission
        self._clock = clock
        self._wall_ns = wall_ns
        self._live: dict[int, LeasedPort] = {}
        self.asterisk = AsteriskSeen()
        self._moves = EchoMoves(supervisor, self.bind_address, dscp)
        self._aimed_at: tuple[str, int] | None = None
        self._suspected_leases = LeakSuspects[tuple[int, int]]()
        self._suspected_slots = LeakSuspects[int]()
        self.probe_is_due = asyncio.Event()
        self.drop_probe: Callable[[], Awaitable[None]] = _no_probe
        self.follow_config()

    @property
    def media_format(self) -> str:
        """See `PortAllocator.media_format`."""
        return self._config().media_format

    @property
    def active_calls(self) -> int:
        """Ports leased to calls."""
        return sum(1 for media in self._live.values() if media.kind == "calls")

    def follow_config(self) -> None:
        """Look for the echo that the configuration in force names, in the family that Asterisk is told."""
        config = self._config()
        self.resolver.aim(config.echo, family_of(self.bind_address()))
        self.measurement.echo.expect_bursts(config.probe.interval_seconds if config.probe.enabled else None)

    async def open(self, call: str) -> LeasedPort:
        """See `PortAllocator.open`."""
        most = self._config().max_calls
        if most is not None and self.active_calls >= most:
            raise Refused("MaxCalls", f"maxCalls is {most}, and {self.active_calls} calls are active")
        if self.measurement.echo.reachable is False:
            echo = self.resolver.resolved or self.resolver.target
            raise Refused("EchoUnreachable", f"the echo at {echo} does not answer")
        if self.supervisor.workers_up() == 0:
            raise Refused("MediaDown", "no media process is up; one is being started")
        self.advertised_address()
        if self._admission and (overload := self.measurement.admission.refusal) is not None:
            raise Refused("Overloaded", overload)
        sockets = await self._lease_and_bind()
        return self._take(sockets, "calls", call)

    async def adopt(self, call: str, port: int) -> LeasedPort:
        """See `PortAllocator.adopt`."""
        probe_port = self.ports.probe_port
        if not self.ports.lease_exactly(port):
            raise Refused("NoFreePort", f"port {port} is leased already")
        try:
            sockets = await self._bind_leased(port, is_the_probes=port == probe_port)
        except BindError as error:
            # A relay that was killed leaves media processes that need a moment to see it: the port is free soon.
            self.ports.release(port, self._clock())
            raise Refused("NotReady", str(error)) from error
        return self._take(sockets, "calls", call)

    def weigh_load(self) -> None:
        """See whether one call more has room; call it after each collection of figures."""
        now_second = self._wall_ns() // NS_PER_SECOND
        self.measurement.admission.evaluate(now_second, self.active_calls, self._config().sla)

    def open_probe(self) -> LeasedPort | None:
        """The probe's port, bound and connected to the echo; None while no port is free or the echo unknown."""
        if self.resolver.address is None:
            return None
        port = self.ports.lend_to_probe()
        if port is None:
            return None
        try:
            return self._take(bind_pair(self.bind_address(), port, self._dscp), "probe", "probe")
        except BindError as error:
            self.ports.quarantine_unleased(port, str(error))
        except OSError as error:
            log.debug("the probe waits: %s", _no_sockets(error))
        except Refused as refused:
            log.debug("the probe waits: %s", refused)
        return None

    async def let_go_of_probe(self, media: LeasedPort) -> None:
        """Close the probe's sockets at once, the media process's copies first: a call needs the port."""
        await self.supervisor.detach(media.slot)
        media.sockets.close()

    async def give_up(self, media: LeasedPort) -> None:
        """End a port's media and take its last figures; see `LeasedPort.close`."""
        if media.attachment is not None:
            await self.supervisor.detach(media.slot)
        # From here on at once, so that a slot is in use exactly while its media is live.
        del self._live[media.slot]
        self.measurement.end_stream(media.slot, self._wall_ns())
        self._moves.end(media.slot)
        media.sockets.close()
        self.supervisor.give_slot_back(media.slot)
        if media.kind == "calls":
            self.ports.release(media.port, self._clock())
            self.probe_is_due.set()

    async def audit(self, ports_of_calls: Iterable[int]) -> tuple[int, ...]:
        """Take back what nobody holds any more; returns the leaked ports.

        `ports_of_calls` are those of all calls that have not ended. A lease that belongs to none of them, or a slot
        without a port, in two audits at least 5 s apart is leaked: calls open and end in between.
        """
        kept, now = set(ports_of_calls), self._clock()
        nobodys = [lease for lease in self.ports.leased().items() if lease[0] not in kept]
        leaked = self._suspected_leases.look(now, nobodys)
        for port, number in leaked:
            await self._take_back(port, number)
        for slot in self._suspected_slots.look(now, self.supervisor.slots_in_use() - self._live.keys()):
            log.error("slot %d of the rows belonged to no port any more; it is taken back", slot)
            self.supervisor.give_slot_back(slot)
        return tuple(port for port, _ in leaked)

    async def _take_back(self, port: int, number: int) -> None:
        """Unless the port was given back, and perhaps leased again, while another was taken back."""
        if not self.ports.take_back(port, number):
            return
        log.error("port %d was leased and belonged to no call any more; it is taken back", port)
        for media in [each for each in self._live.values() if each.port == port and each.kind == "calls"]:
            await media.close()
        self.ports.release(port, self._clock())
        self.probe_is_due.set()

    def attachment(self, media: LeasedPort, peer: tuple[str, int]) -> Attachment:
        """What a media process needs of a port that is connected to `peer`."""
        return Attachment(media.slot, media.sockets, peer, self._dscp << 2, self._config().echo.extension)

    async def aim_at_echo(self) -> bool:
        """Send live calls to the echo's address in force; the old one's answers count on.

        False: some could not be moved yet; ask again.
        """
        address = self.resolver.address
        if address is None:
            return True
        if address != self._aimed_at:
            self._aimed_at = address
            self.measurement.echo.restart()
        live = list(self._live.values())
        before = sum(media.aims_elsewhere(address) for media in live)
        turn = asyncio.Semaphore(MOVES_AT_ONCE)
        done = all(await asyncio.gather(*(self._move(media, address, turn) for media in live)))
        moved = before - sum(media.aims_elsewhere(address) for media in live)
        if moved:
            log.info("live calls send to another echo", extra={"fields": {"echo": host_port(*address), "ports": moved}})
        return done

    async def try_ports(self, ports: list[int]) -> None:
        """Bind and let go each of these: what fails is quarantined, what works again is restored."""
        quarantined = set(self.ports.quarantined())
        for at, port in enumerate(ports):
            # What was leased or lent since the list was made does not bind, and is nobody else's.
            if not self.ports.is_leased(port) and port != self.ports.probe_port:
                self._try_port(port, port in quarantined)
            # Between trials nothing else may bind; now and then the loop gets its turn.
            if at % TRIALS_AT_ONCE == TRIALS_AT_ONCE - 1:
                await asyncio.sleep(0)

    def _try_port(self, port: int, quarantined: bool) -> None:
        try:
            reason = can_bind(self.bind_address(), port)
        except OSError as error:
            log.warning("port %d could not be tried: %s", port, error.strerror)
            return
        if reason is None:
            if quarantined:
                self.ports.restore(port)
            return
        if not quarantined:
            # Preflight says it to people, for all ports at once.
            log.debug("a port of the range is not usable", extra={"fields": {"port": port, "reason": reason}})
        self.ports.quarantine_unleased(port, reason)

    def call_figures(self, media: LeasedPort) -> CallFigures:
        """A call's figures and its own verdict, by the tier of the highest load in its time."""
        total = media.statistics.total
        return call_figures(total, judge(total, media.most_calls, self._config().sla).report)

    def advertised_address(self) -> str:
        """What Asterisk is told: the pool's or the environment's address, else ours on the route to Asterisk.

        Raises:
            Refused: that route is not known yet.
        """
        address = self._told_address()
        if address is None:
            raise Refused("NotReady", self.own_address.reason or "our own address is not known yet")
        return address

    def bind_address(self) -> str:
        """What ports are bound to now."""
        return bound_address(self._bind_ip, self._told_address())

    def _told_address(self) -> str | None:
        return self._config().advertise_address or self.own_address.address

    def _echo_address(self) -> tuple[str, int]:
        if self.resolver.address is None:
            raise OSError(self.resolver.reason or "the echo's address is not known yet")
        return self.resolver.address

    async def _lease_and_bind(self) -> PortSockets:
        while True:
            probe_port = self.ports.probe_port
            try:
                port = self.ports.lease(self._clock())
            except PortsExhausted as error:
                raise Refused("NoFreePort", str(error)) from error
            try:
                return await self._bind_leased(port, is_the_probes=port == probe_port)
            except BindError as error:
                log.warning("a leased port is set aside", extra={"fields": {"port": port, "reason": str(error)}})
                self.ports.quarantine_lease(port, str(error))

    async def _bind_leased(self, port: int, *, is_the_probes: bool) -> PortSockets:
        """Bind a port that was just leased.

        Raises:
            BindError: it would not bind; it is still leased, and its lease the caller's to end.
            Refused: there are no more sockets; it is not leased any more, as after anything else that is raised.
        """
        try:
            if is_the_probes:
                await self.drop_probe()
            heard_at = hearing_address(self._bind_ip, self._told_address())
            return bind_pair(self.bind_address(), port, self._dscp, heard_at)
        except BindError:
            raise
        except OSError as error:
            self.ports.release(port, self._clock())
            raise _no_sockets(error) from error
        except BaseException:
            self.ports.release(port, self._clock())
            raise

    def _take(self, sockets: PortSockets, kind: StreamKind, call: str) -> LeasedPort:
        try:
            sockets.echo.connect(self._echo_address())
            slot = self.supervisor.take_slot()
        except (OSError, MediaFault) as error:
            sockets.close()
            if kind == "calls":
                self.ports.release(sockets.port, self._clock())
            reason: RefusalReason = "MediaDown" if isinstance(error, MediaFault) else "EchoUnreachable"
            raise Refused(reason, f"{call}: {error}") from error
        config = self._config()
        statistics = StreamStatistics(
            RowReader(self.supervisor.memory, slot),
            config.clock_rate_hz,
            config.sla.late_threshold_microseconds * 1000,
            self.measurement.clock_steps.spans_step,
            self.measurement.kinds[kind].observe,
        )
        self.measurement.add_stream(slot, kind, statistics)
        # The probe plays Asterisk itself and is told nothing.
        media = LeasedPort(self, kind, sockets.port, self._told_address() or "", sockets, slot, statistics)
        self._live[slot] = media
        active = self.active_calls
        for each in self._live.values():
            each.most_calls = max(each.most_calls, active)
        return media

    async def _move(self, media: LeasedPort, address: tuple[str, int], turn: asyncio.Semaphore) -> bool:
        async with turn:
            moved = await self._moves.move(media.slot, media.sockets, address, attached=media.attachment is not None)
        if not moved and media.kind == "probe":
            # It begins anew, and at the address in force.
            await self.drop_probe()
            return True
        return moved


async def _no_probe() -> None:
    """Nothing to let go of: no probe runs on this call_ports."""


def _no_sockets(error: OSError) -> Refused:
    return Refused("NotReady", f"no sockets are to be had: {error.strerror}; is the limit of open files too low?")


def address_family(bind_ip: str, advertise_address: str | None) -> socket.AddressFamily:
    """The family in which the echo's name is resolved: that of the sockets."""
    return family_of(bound_address(bind_ip, advertise_address))

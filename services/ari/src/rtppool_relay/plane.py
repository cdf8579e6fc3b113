"""The relay's media plane: leases ports, binds and connects their sockets, gives them to media processes, measures."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rtppool_core.udp import BindError, family_of, host_port
from rtppool_relay.call_figures import call_figures
from rtppool_relay.echo_resolver import EchoResolver
from rtppool_relay.measurement import Measurement, StreamKind
from rtppool_relay.media_plane import CallFigures, MediaFault, RefusalReason, Refused
from rtppool_relay.media_state import MediaFlow
from rtppool_relay.media_supervisor import Attachment, MediaSupervisor
from rtppool_relay.port_manager import PortManager, PortsExhausted
from rtppool_relay.port_sockets import PortSockets, bind_another_echo, bind_pair, can_bind
from rtppool_relay.relay_config import RelayConfig
from rtppool_relay.row_reader import RowReader
from rtppool_relay.sla import judge
from rtppool_relay.stream_statistics import StreamStatistics

log = logging.getLogger(__name__)

# Answers of an old echo still count for as long as an answer can count at all.
OLD_ECHO_ANSWERS_SECONDS = 2.5
TRIALS_AT_ONCE = 64


@dataclass(slots=True)
class PortMedia:
    """One leased port: `CallMedia` for calls, and what the probe runs on.

    `most_calls`: the most that were active in its time; a call is judged by that tier.
    """

    plane: Plane
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
        """See `CallMedia.connect`."""
        try:
            self.sockets.asterisk.connect((address, port))
        except OSError as error:
            raise MediaFault(
                f"port {self.port} can't be connected to {host_port(address, port)}: {error.strerror}; "
                "is ADVERTISE_IP an address that Asterisk reaches, and BIND_IP one that reaches Asterisk?"
            ) from error
        self.attachment = self.plane.attachment(self, (address, port))
        await self.plane.supervisor.attach(self.attachment)

    def figures(self) -> CallFigures:
        """See `CallMedia.figures`."""
        return self.last or self.plane.call_figures(self)

    def flow(self) -> MediaFlow:
        """See `CallMedia.flow`."""
        return self.statistics.flow

    async def close(self) -> CallFigures:
        """See `CallMedia.close`."""
        async with self._closing:
            if self.last is None:
                await self.plane.give_up(self)
                self.last = self.plane.call_figures(self)
        return self.last


class Plane:
    """Implements `MediaPlane`. `config` tells the configuration in force, `clock` monotonic seconds."""

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
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._config = config
        self._bind_ip = bind_ip
        self._dscp = dscp
        self._ari_host = ari_host
        self.ports = ports
        self.supervisor = supervisor
        self.resolver = resolver
        self.measurement = measurement
        self._clock = clock
        self._wall_ns = wall_ns
        self._live: dict[int, PortMedia] = {}
        self._aimed_at: tuple[str, int] | None = None
        self.probe_is_due = asyncio.Event()
        self.drop_probe: Callable[[], Awaitable[None]] = _no_probe

    @property
    def media_format(self) -> str:
        """See `MediaPlane.media_format`."""
        return self._config().media_format

    @property
    def active_calls(self) -> int:
        """Ports leased to calls."""
        return sum(1 for media in self._live.values() if media.kind == "calls")

    async def open(self, call: str) -> PortMedia:
        """See `MediaPlane.open`."""
        most = self._config().max_calls
        if most is not None and self.active_calls >= most:
            raise Refused("MaxCalls", f"maxCalls is {most}, and {self.active_calls} calls are active")
        if self.measurement.echo.reachable is False:
            raise Refused("EchoUnreachable", f"the echo at {self.resolver.target} does not answer")
        if self.supervisor.workers_up() == 0:
            raise Refused("MediaDown", "no media process is up; one is being started")
        sockets = await self._lease_and_bind()
        return self._take(sockets, "calls", call)

    async def adopt(self, call: str, port: int) -> PortMedia:
        """See `MediaPlane.adopt`."""
        probe_port = self.ports.probe_port
        if not self.ports.lease_exactly(port):
            raise Refused("NoFreePort", f"port {port} is leased already")
        if port == probe_port:
            await self.drop_probe()
        try:
            sockets = bind_pair(self._bind_ip, port, self._dscp)
        except BindError as error:
            self.ports.quarantine(port, str(error))
            raise Refused("NoFreePort", str(error)) from error
        return self._take(sockets, "calls", call)

    def open_probe(self) -> PortMedia | None:
        """The probe's port, bound and connected to the echo; None while no port is free or the echo unknown."""
        if self.resolver.address is None:
            return None
        port = self.ports.lend_to_probe()
        if port is None:
            return None
        try:
            return self._take(bind_pair(self._bind_ip, port, self._dscp), "probe", "probe")
        except BindError as error:
            self.ports.quarantine(port, str(error))
        except Refused as refused:
            log.debug("the probe waits: %s", refused)
        return None

    async def let_go_of_probe(self, media: PortMedia) -> None:
        """Close the probe's sockets at once, the media process's copies first: a call needs the port."""
        await self.supervisor.detach(media.slot)
        media.sockets.close()

    async def give_up(self, media: PortMedia) -> None:
        """End a port's media and take its last figures; see `PortMedia.close`."""
        self._live.pop(media.slot, None)
        if media.attachment is not None:
            await self.supervisor.detach(media.slot)
        self.measurement.end_stream(media.slot, self._wall_ns())
        media.sockets.close()
        self.supervisor.give_slot_back(media.slot)
        if media.kind == "calls":
            self.ports.release(media.port, self._clock())
            self.probe_is_due.set()

    def attachment(self, media: PortMedia, peer: tuple[str, int]) -> Attachment:
        """What a media process needs of a port that is connected to `peer`."""
        return Attachment(media.slot, media.sockets, peer, self._dscp << 2, self._config().echo.extension)

    async def aim_at_echo(self) -> None:
        """Send live calls to the echo's new address; the old one's answers count on."""
        address = self.resolver.address
        if address is None or address == self._aimed_at:
            return
        self._aimed_at = address
        self.measurement.echo.restart()
        moved = [media for media in self._live.values() if media.sockets.echo.getpeername()[:2] != address]
        for media in moved:
            await self._move(media, address)
        if moved:
            log.info(
                "live calls send to another echo", extra={"fields": {"echo": host_port(*address), "ports": len(moved)}}
            )

    async def try_ports(self, ports: list[int]) -> None:
        """Bind and let go each of these: what fails is quarantined, what works again is restored."""
        quarantined = set(self.ports.quarantined())
        for at, port in enumerate(ports):
            reason = can_bind(self._bind_ip, port)
            if reason is not None:
                if port not in quarantined:
                    log.warning("a port of the range is not usable", extra={"fields": {"port": port, "reason": reason}})
                self.ports.quarantine(port, reason)
            elif port in quarantined:
                self.ports.restore(port)
            # Between trials nothing else may bind; now and then the loop gets its turn.
            if at % TRIALS_AT_ONCE == TRIALS_AT_ONCE - 1:
                await asyncio.sleep(0)

    def call_figures(self, media: PortMedia) -> CallFigures:
        """A call's figures and its own verdict, by the tier of the highest load in its time."""
        total = media.statistics.total
        return call_figures(total, judge(total, media.most_calls, self._config().sla))

    def advertised_address(self) -> str:
        """What Asterisk is told: the pool's or the environment's address, else ours on the route to Asterisk."""
        address = self._config().advertise_address
        return address if address is not None else source_address_towards(self._ari_host)

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
            if port == probe_port:
                await self.drop_probe()
            try:
                return bind_pair(self._bind_ip, port, self._dscp)
            except BindError as error:
                log.warning("a leased port is set aside", extra={"fields": {"port": port, "reason": str(error)}})
                self.ports.quarantine(port, str(error))

    def _take(self, sockets: PortSockets, kind: StreamKind, call: str) -> PortMedia:
        try:
            sockets.echo.connect(self._echo_address())
            advertised = self.advertised_address()
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
            self.measurement.wall_clock.spans_step,
            self.measurement.kinds[kind].observe,
        )
        self.measurement.add_stream(slot, kind, statistics)
        media = PortMedia(self, kind, sockets.port, advertised, sockets, slot, statistics)
        self._live[slot] = media
        active = self.active_calls
        for each in self._live.values():
            each.most_calls = max(each.most_calls, active)
        return media

    async def _move(self, media: PortMedia, address: tuple[str, int]) -> None:
        try:
            another = bind_another_echo(media.sockets, self._bind_ip, self._dscp)
            another.connect(address)
            if media.attachment is not None:
                await self.supervisor.switch_echo(media.slot, another)
        except (BindError, MediaFault, OSError) as error:
            log.error("port %d stays with the old echo: %s", media.port, error)  # noqa: TRY400 expected, one line
            return
        old, media.sockets.echo = media.sockets.echo, another
        asyncio.get_running_loop().call_later(OLD_ECHO_ANSWERS_SECONDS, self._forget_old, media, old)

    def _forget_old(self, media: PortMedia, old: socket.socket) -> None:
        old.close()
        if self._live.get(media.slot) is media and media.attachment is not None:
            task = asyncio.ensure_future(self.supervisor.forget_old_echo(media.slot))
            task.add_done_callback(_log_fault)


async def _no_probe() -> None:
    """Nothing to let go of: no probe runs on this plane."""


def _log_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.warning("%s", fault)


def source_address_towards(host: str) -> str:
    """Our own address on the route to `host`, found without sending anything.

    Raises:
        OSError: no route, or the name is not known.
    """
    info = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(info[0], socket.SOCK_DGRAM) as sock:
        sock.connect(info[4])
        return str(ipaddress.ip_address(sock.getsockname()[0]))


def address_family(bind_ip: str, advertise_address: str | None) -> socket.AddressFamily:
    """The family in which the echo's name is resolved: the advertised address's, else the bound one's."""
    return family_of(advertise_address or bind_ip)

"""One leased port with its sockets, from binding to its final figures."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass

from rtppool_core.net.udp import BindError, host_port
from rtppool_relay.config import RelayConfig
from rtppool_relay.figures.call_figures import CallFigures, call_figures
from rtppool_relay.figures.measurement import Measurement, StreamKind
from rtppool_relay.figures.sla import judge
from rtppool_relay.media.media_process import MediaFault
from rtppool_relay.media.port_sockets import PortSockets, bind_observer
from rtppool_relay.media.supervisor import Attachment, MediaSupervisor
from rtppool_relay.ports.asterisk_endpoints import AsteriskEndpoints, TranslatedSource
from rtppool_relay.ports.echo_moves import EchoMoves
from rtppool_relay.ports.own_address import UNSPECIFIED, PortAddresses
from rtppool_relay.ports.sender_observer import MAX_OBSERVATIONS, observe_senders
from rtppool_relay.streams.flow import MediaFlow
from rtppool_relay.streams.row_reader import RowReader, RowRings
from rtppool_relay.streams.statistics import StreamStatistics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PortContext:
    """The parts of the relay that a leased port works with. `steady_ns` is the measurement's clock."""

    config: Callable[[], RelayConfig]
    addresses: PortAddresses
    dscp: int
    supervisor: MediaSupervisor
    rings: RowRings
    measurement: Measurement
    asterisk: AsteriskEndpoints
    steady_ns: Callable[[], int]


class LeasedPort:
    """Implements `MediaPort` for calls; the probe runs on one, too. `is_announced`: Asterisk may know the port.

    `peak_calls` is the highest number of active calls during its lifetime: it selects the SLA tier.
    `on_release` is called once, when no process holds the sockets any more and the slot is free again.
    """

    def __init__(
        self,
        context: PortContext,
        kind: StreamKind,
        sockets: PortSockets,
        slot: int,
        on_release: Callable[[LeasedPort], None],
    ) -> None:
        self.kind: StreamKind = kind
        self.sockets = sockets
        self.slot = slot
        self.is_announced = False
        # Empty for the probe alone, which plays Asterisk itself.
        self._advertised_address = context.addresses.advertised() or ""
        self.peak_calls = 0
        self._context = context
        self._on_release = on_release
        self._moves = EchoMoves(context.supervisor, slot, sockets, context.dscp)
        self._attached = False
        self._final: CallFigures | None = None
        self._is_ended = False
        self._closing = asyncio.Lock()
        self._observing: asyncio.Task[tuple[tuple[str, int], ...]] | None = None
        config, measurement = context.config(), context.measurement
        self.statistics = StreamStatistics(
            RowReader(context.rings, slot),
            config.clock_rate_hz,
            config.sla.late_threshold_microseconds * 1000,
            measurement.clock,
        )
        measurement.add_stream(slot, kind, self.statistics)

    @property
    def port(self) -> int:
        """The UDP port."""
        return self.sockets.port

    def announce(self) -> tuple[str, int]:
        """Return the address for Asterisk, which may send to it from now on; see `MediaPort.announce`."""
        self.is_announced = True
        return self._advertised_address, self.port

    @property
    def family(self) -> int:
        """The address family of the sockets, also when they are closed."""
        return self.sockets.echo.family

    @property
    def is_bound(self) -> bool:
        """Whether the sockets are open."""
        return self.sockets.asterisk.fileno() >= 0

    @property
    def is_ended(self) -> bool:
        """Whether it was closed. It stays leased until the media process has closed its duplicates."""
        return self._is_ended

    async def connect(self, address: str, port: int) -> None:
        """Connect the socket to Asterisk and attach the port to a media process; see `MediaPort.connect`."""
        try:
            # A name would be resolved by `connect`, and the control process would wait.
            self.sockets.asterisk.connect((str(ipaddress.ip_address(address)), port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise MediaFault(
                f"port {self.port} can't be connected to {host_port(address, port)}: {reason}; "
                "is ADVERTISE_IP an address that Asterisk reaches, and BIND_IP one that reaches Asterisk?"
            ) from error
        except ValueError as error:
            raise MediaFault(
                f"port {self.port} can't be connected to {address!r}, which is no IP address; "
                "Asterisk named it as the address of its media channel (UNICASTRTP_LOCAL_ADDRESS)"
            ) from error
        if self.kind == "calls":
            source = str(self.sockets.asterisk.getsockname()[0])
            self._context.asterisk.record((address, port), source, self._advertised_address)
        tos, extend = self._context.dscp << 2, self._context.config().echo.extension
        self._attached = True
        await self._context.supervisor.attach(Attachment(self.slot, self.sockets, (address, port), tos, extend))

    async def observe_senders(self) -> str | None:
        """Observe for a moment whether RTP comes from another address than Asterisk's; see `MediaPort`."""
        if not self._attached or not self.is_bound or self._observing is not None:
            return None
        if self._context.asterisk.observations >= MAX_OBSERVATIONS:
            return None
        bind_ip = self._context.addresses.bind_ip
        address = UNSPECIFIED[self.sockets.echo.family] if ipaddress.ip_address(bind_ip).is_unspecified else bind_ip
        announced = self.sockets.asterisk.getpeername()[:2]
        try:
            observer = bind_observer(self.sockets, address, self._moves.former)
        except (BindError, OSError) as error:
            log.debug("port %d can't be observed: %s", self.port, error)
            return None
        task = self._observing = asyncio.create_task(observe_senders(observer))
        # Also where it is cancelled before its first step.
        task.add_done_callback(lambda _: observer.close())
        self._context.asterisk.observations += 1
        try:
            await asyncio.wait({task})
        finally:
            self._context.asterisk.observations -= 1
            self._observing = None
            task.cancel()
        if task.cancelled():
            return None  # the port was closed meanwhile
        senders = [sender for sender in task.result() if sender != announced]
        if not senders:
            return None
        found = TranslatedSource(self.port, host_port(*announced), host_port(*senders[0]))
        self._context.asterisk.translated = found
        return str(found)

    def sends_to(self, echo: tuple[str, int]) -> bool:
        """Return whether packets go to this echo, or the port is closed."""
        return self._moves.aims_at(echo)

    async def move_to(self, echo: tuple[str, int]) -> bool:
        """Send packets to another echo; return False where the move must be repeated."""
        return await self._moves.move(echo, self._context.addresses.bound(), attached=self._attached)

    def figures(self) -> CallFigures:
        """Return the figures so far, with the call's own verdict by the tier of its peak load."""
        if self._final is not None:
            return self._final
        statistics, total = self.statistics, self.statistics.total
        limits = self._context.config().sla
        verdict = judge(total, self.peak_calls, limits).report
        return call_figures(
            total, verdict, statistics.dropped, statistics.streams_unjudged, judge_host=limits.judge_host
        )

    def flow(self) -> MediaFlow:
        """Return the packet counts of both directions so far."""
        return self.statistics.flow

    def excuse_digit(self, duration_seconds: float) -> None:
        """Count no loss during a digit that ended now; see `MediaPort.excuse_digit`."""
        self.statistics.excuse_digit(self._context.steady_ns(), round(duration_seconds * 1e9))

    async def unbind(self) -> None:
        """Free the UDP port at once; `close` still has to follow. The media process's copies go first."""
        async with self._closing:
            self._end_observation()
            try:
                await self._detach()
            finally:
                self.sockets.close()

    async def close(self) -> CallFigures:
        """Detach, take the final figures, close the sockets; see `MediaPort.close`."""
        async with self._closing:
            self._end_observation()
            if not self._is_ended:
                try:
                    await self._detach()
                finally:
                    # No await from here on: a slot is in use exactly as long as its port is live.
                    self._is_ended = True
                    try:
                        self._context.measurement.end_stream(self.slot, self._context.steady_ns())
                    finally:
                        self._moves.end()
                        self.sockets.close()
                        self._context.supervisor.when_detached(self.slot, self._release)
            if self._final is None:
                self._final = self.figures()
        return self._final

    def _end_observation(self) -> None:
        if self._observing is not None:
            self._observing.cancel()

    def _release(self) -> None:
        self._context.supervisor.give_slot_back(self.slot)
        self._on_release(self)

    async def _detach(self) -> None:
        if self._attached:
            await self._context.supervisor.detach(self.slot)

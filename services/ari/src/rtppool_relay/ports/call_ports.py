"""The relay's ports: admission, leases, binding, moves to another echo, and the audit of leases."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator

from rtppool_core.net.udp import BindError, family_of, host_port
from rtppool_core.process.periodic import describe_failure
from rtppool_core.process.shortage import is_shortage
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.config import RelayConfig
from rtppool_relay.figures.measurement import Measurement, StreamKind
from rtppool_relay.media.media_process import MediaFault
from rtppool_relay.media.port_sockets import PortSockets, bind_pair
from rtppool_relay.media.supervisor import MediaSupervisor
from rtppool_relay.ports.asterisk_endpoints import AsteriskEndpoints
from rtppool_relay.ports.echo_resolver import EchoResolver
from rtppool_relay.ports.interface import RefusalReason, Refused
from rtppool_relay.ports.leak_suspects import LeakSuspects
from rtppool_relay.ports.leased_port import LeasedPort, PortContext
from rtppool_relay.ports.own_address import OwnAddress, PortAddresses
from rtppool_relay.ports.port_manager import PortManager, PortsExhausted
from rtppool_relay.ports.trial_binds import try_ports
from rtppool_relay.streams.row_reader import RowRings
from rtppool_relay.streams.statistics import StreamStatistics

log = logging.getLogger(__name__)

# The number of commands that a media process gets at once.
MAX_CONCURRENT_MOVES = 32
# A process that the relay starts has copies of its sockets until it runs its own program. The probe's port, bound again
# at once, is in use for that long: in 267 of 3,777 attempts beside starting processes, for 37 ms at most.
REBIND_ATTEMPTS, REBIND_PAUSE_SECONDS = 50, 0.005


class CallPorts:
    """Implements `PortAllocator`. `config` returns the configuration in force, `clock` monotonic seconds.

    With `admission` a call is refused where one more would break its SLA tier.
    """

    def __init__(
        self,
        config: Callable[[], RelayConfig],
        bind_ip: str,
        dscp: int,
        ari_host: str,
        manager: PortManager,
        supervisor: MediaSupervisor,
        resolver: EchoResolver,
        measurement: Measurement,
        admission: bool = True,
        clock: Callable[[], float] = time.monotonic,
        steady_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.own_address = OwnAddress(ari_host)
        self.addresses = PortAddresses(bind_ip, lambda: config().advertise_address, self.own_address)
        self.asterisk = AsteriskEndpoints()
        self.manager = manager
        self.supervisor = supervisor
        self.resolver = resolver
        self.measurement = measurement
        self.port_released = asyncio.Event()
        self._config = config
        self._dscp = dscp
        self._admission = admission
        self._clock = clock
        self._steady_ns = steady_ns
        rings = RowRings(supervisor.memory)
        self._context = PortContext(
            config, self.addresses, dscp, supervisor, rings, measurement, self.asterisk, steady_ns
        )
        self._live: dict[int, LeasedPort] = {}
        self._echo_in_use: tuple[str, int] | None = None
        self._suspected_leases = LeakSuspects[tuple[int, int]]()
        self._suspected_slots = LeakSuspects[int]()
        self.apply_config()

    @property
    def media_format(self) -> str:
        """See `PortAllocator.media_format`."""
        return self._config().media_format

    @property
    def active_calls(self) -> int:
        """The number of ports leased to calls."""
        return sum(1 for port in self._live.values() if port.kind == "calls" and not port.is_ended)

    def live_streams(self) -> Iterator[tuple[int, StreamStatistics]]:
        """Yield the port and the statistics of each live call."""
        for port in self._live.values():
            if port.kind == "calls" and not port.is_ended:
                yield port.port, port.statistics

    def apply_config(self) -> None:
        """Choose the address family, resolve the configured echo in it, and follow the probe's settings."""
        config = self._config()
        self.own_address.prefer(self.resolver.families)
        family, reason = family_of(self.addresses.bound()), self.addresses.family_reason()
        self.resolver.retarget(config.echo, family, reason)
        self.measurement.echo.expect_bursts(config.probe.interval_seconds if config.probe.enabled else None)

    def observe_address(self, address: str) -> None:
        """Note this end of a connection to Asterisk, and choose the address family by it."""
        self.own_address.observe(address)
        self.apply_config()

    def family_conflict(self) -> str | None:
        """Return a sentence where the addresses of Asterisk, relay and echo have no family in common, or None."""
        return self.addresses.conflict() or self.resolver.conflict

    def check_source(self) -> None:
        """Forget a translated source when another call's packets arrive; call it after each collection of figures."""
        translated = self.asterisk.translated
        if translated is not None and any(
            port.kind == "calls" and port.flow().sent_to_echo and port.port != translated.port
            for port in self._live.values()
        ):
            self.asterisk.translated = None

    def check_echo(self) -> None:
        """Move on to the echo's next address where one stopped answering; call it after each collection of figures."""
        if self.measurement.echo.reachable:
            self.resolver.confirm()
        elif self.measurement.echo.reachable is False and self.resolver.address is not None:
            self.resolver.move_on()
            self.apply_config()

    async def open(self, call: str) -> LeasedPort:
        """Lease a port for a new call; see `PortAllocator.open`."""
        self._admit()
        while True:
            try:
                port = self.manager.lease(self._clock())
            except PortsExhausted as error:
                raise Refused("NoFreePort", str(error)) from error
            try:
                return await self._open_leased(port, call, announced=False)
            except BindError as error:
                log.warning("a leased port is set aside", extra={"fields": {"port": port, "reason": str(error)}})
                self.manager.quarantine(port, str(error))

    async def adopt(self, call: str, port: int) -> LeasedPort:
        """Lease the port of a call from before a restart; see `PortAllocator.adopt`."""
        if not self.manager.lease_exactly(port):
            raise Refused("NoFreePort", f"port {port} is leased already")
        try:
            return await self._open_leased(port, call, announced=True)
        except BindError as error:
            # The media processes of a killed relay hold the port for a moment longer.
            raise Refused("NotReady", str(error)) from error

    def hold(self, ports: frozenset[int]) -> None:
        """Keep ports from new calls; see `PortAllocator.hold`."""
        self.manager.hold(ports)

    def open_probe(self) -> LeasedPort | None:
        """Bind the probe's port and connect it to the echo; return None while either is unavailable."""
        if self.resolver.address is None:
            return None
        port = self.manager.lend_to_probe()
        if port is None:
            return None
        try:
            return self._connect_echo(bind_pair(self.addresses.bound(), port, self._dscp), "probe", "probe")
        except BindError as error:
            self.manager.quarantine(port, str(error))
        except (OSError, MemoryError) as error:
            log.debug("the probe waits: %s", _no_sockets(error))
        except Refused as refused:
            log.debug("the probe waits: %s", refused)
        return None

    def evaluate_admission(self) -> None:
        """Evaluate whether one more call has room; call it after each collection of figures."""
        now_second = self._steady_ns() // NS_PER_SECOND
        self.measurement.admission.evaluate(now_second, self.active_calls, self._config().sla)

    async def audit(self, ports_of_calls: Iterable[int]) -> tuple[int, ...]:
        """Take back leaked leases and slots; see `PortAllocator.audit`.

        A leak is a lease without a call, or a slot without a port, in two audits at least 5 s apart.
        """
        owned, now = set(ports_of_calls), self._clock()
        # A port that was closed waits for its media process, and is no leak.
        owned.update(port.port for port in self._live.values() if port.is_ended)
        ownerless = [lease for lease in self.manager.leased().items() if lease[0] not in owned]
        leaked = self._suspected_leases.observe(now, ownerless)
        for port, lease in leaked:
            await self._take_back(port, lease)
        for slot in self._suspected_slots.observe(now, self.supervisor.slots_in_use() - self._live.keys()):
            log.error("slot %d of the rows belonged to no port any more; it is taken back", slot)
            self.supervisor.give_slot_back(slot)
        return tuple(port for port, _ in leaked)

    async def move_to_echo(self) -> bool:
        """Move live ports to the echo's current address; return False where a move must be repeated.

        Answers of the old echo still count.
        """
        self.apply_config()
        address, family = self.resolver.address, self.resolver.family
        await self._end_probe_elsewhere(family if address is not None else None)
        if address is None:
            return True
        if address != self._echo_in_use:
            self._echo_in_use = address
            self.measurement.echo.restart()
        # A call keeps the family with which it began.
        live = [port for port in self._live.values() if port.family == family]
        before = sum(not port.sends_to(address) for port in live)
        turn = asyncio.Semaphore(MAX_CONCURRENT_MOVES)
        done = all(await asyncio.gather(*(_move(port, address, turn) for port in live)))
        moved = before - sum(not port.sends_to(address) for port in live)
        if moved:
            log.info("live calls send to another echo", extra={"fields": {"echo": host_port(*address), "ports": moved}})
        return done

    async def _end_probe_elsewhere(self, family: socket.AddressFamily | None) -> None:
        """Unbind a probe whose sockets are not of this family, because its figures are not those of the echo in use."""
        for port in list(self._live.values()):
            if port.kind == "probe" and port.family != family:
                await port.unbind()
                self._echo_in_use = None
                self.measurement.echo.restart()

    async def try_ports(self, ports: list[int]) -> None:
        """Trial-bind these ports; see `trial_binds`."""
        await try_ports(self.manager, self.addresses, ports)

    def advertised_address(self) -> str:
        """Return the address that Asterisk sends to: configured, or the relay's own on the route to Asterisk.

        Raises:
            Refused: none is configured and the route is not known yet.
        """
        address = self.addresses.advertised()
        if address is None:
            raise Refused("NotReady", self.own_address.reason or "our own address is not known yet")
        return address

    def _admit(self) -> None:
        limit = self._config().max_calls
        if limit is not None and self.active_calls >= limit:
            raise Refused("MaxCalls", f"maxCalls is {limit}, and {self.active_calls} calls are active")
        if self.measurement.echo.reachable is False:
            echo = self.resolver.resolved or self.resolver.target
            raise Refused("EchoUnreachable", f"the echo at {echo} does not answer")
        if self.supervisor.workers_up() == 0:
            raise Refused("MediaDown", "no media process is up; one is being started")
        self.advertised_address()
        if self._admission and (overload := self.measurement.admission.refusal) is not None:
            raise Refused("Overloaded", overload)

    async def _open_leased(self, port: int, call: str, *, announced: bool) -> LeasedPort:
        """Bind a port that was just leased and connect it to the echo. On any error it is released.

        `announced`: Asterisk sends to it already.

        Raises:
            BindError: another socket holds the port.
            Refused: there are no sockets, no echo address or no slots.
        """
        try:
            sockets = await self._bind(port, REBIND_ATTEMPTS if await self._unbind_probe(port) else 1)
            leased = self._connect_echo(sockets, "calls", call)
        except (OSError, MemoryError) as error:
            self.manager.release(port, self._clock(), rests=announced)
            raise _no_sockets(error) from error
        except BaseException:
            self.manager.release(port, self._clock(), rests=announced)
            raise
        leased.is_announced = announced
        return leased

    async def _bind(self, port: int, attempts: int) -> PortSockets:
        while True:
            attempts -= 1
            try:
                return bind_pair(self.addresses.bound(), port, self._dscp, self.addresses.asterisk_side())
            except BindError:
                if not attempts:
                    raise
            await asyncio.sleep(REBIND_PAUSE_SECONDS)

    async def _unbind_probe(self, port: int) -> bool:
        """Take a port from the probe; return whether the probe had it."""
        probes = [each for each in self._live.values() if each.kind == "probe" and each.port == port]
        for each in probes:
            await each.unbind()
        return bool(probes)

    def _connect_echo(self, sockets: PortSockets, kind: StreamKind, call: str) -> LeasedPort:
        try:
            self._connect_to_echo(sockets)
            slot = self.supervisor.take_slot()
        except (OSError, MemoryError, MediaFault) as error:
            sockets.close()
            if is_shortage(error):
                raise
            reason: RefusalReason = "MediaDown" if isinstance(error, MediaFault) else "EchoUnreachable"
            raise Refused(reason, f"{call}: {error}") from error
        try:
            port = self._live[slot] = LeasedPort(self._context, kind, sockets, slot, self._forget)
        except BaseException:
            sockets.close()
            self.supervisor.give_slot_back(slot)
            raise
        active = self.active_calls
        for each in self._live.values():
            each.peak_calls = max(each.peak_calls, active)
        return port

    def _connect_to_echo(self, sockets: PortSockets) -> None:
        address = self._echo_address()
        try:
            sockets.echo.connect(address)
        except OSError as error:
            if not is_shortage(error):
                self.resolver.move_on()
            raise OSError(error.errno, f"{host_port(*address)}: {error.strerror}") from error

    def _echo_address(self) -> tuple[str, int]:
        if self.resolver.address is None:
            raise OSError(self.resolver.reason or "the echo's address is not known yet")
        return self.resolver.address

    def _forget(self, port: LeasedPort) -> None:
        del self._live[port.slot]
        if port.kind == "calls":
            self.manager.release(port.port, self._clock(), rests=port.is_announced)
            self.port_released.set()

    async def _take_back(self, port: int, lease: int) -> None:
        """Take one leaked lease back, unless it ended while another one was taken back."""
        if not self.manager.take_back(port, lease):
            return
        log.error("port %d was leased and belonged to no call any more; it is taken back", port)
        for each in list(self._live.values()):
            if each.port == port and each.kind == "calls":
                # Releases the port as soon as no media process holds its sockets.
                await each.close()
                return
        self.manager.release(port, self._clock())
        self.port_released.set()


async def _move(port: LeasedPort, echo: tuple[str, int], turn: asyncio.Semaphore) -> bool:
    async with turn:
        try:
            moved = await port.move_to(echo)
        except Exception:
            # The other ports move all the same, and this one is tried again.
            log.exception("port %d is not moved to another echo yet", port.port)
            return False
    if not moved and port.kind == "probe":
        # The probe binds its port anew, with the address in force.
        await port.unbind()
        return True
    return moved


def _no_sockets(error: OSError | MemoryError) -> Refused:
    cause = describe_failure(error)
    return Refused("NotReady", f"no sockets are to be had: {cause}; is the limit of open files too low?")

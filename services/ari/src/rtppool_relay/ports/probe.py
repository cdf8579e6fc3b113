"""The probe: ten RTP packets at 20 ms every interval, through the same path as a call's packets.

It plays Asterisk on a loopback socket, on the free port that is last in line for a lease, and yields that port to a
call at once. It measures while there are no calls, and detects an echo that does not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from rtppool_core.contract.pools_file import ProbeSettings
from rtppool_core.net.udp import family_of
from rtppool_core.process.periodic import describe_failure
from rtppool_core.rtp.header import PCMU_PAYLOAD_TYPE, RtpHeader, build
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.config import RelayConfig
from rtppool_relay.media.media_process import MediaFault
from rtppool_relay.ports.call_ports import CallPorts
from rtppool_relay.ports.leased_port import LeasedPort
from rtppool_relay.ports.own_address import LOOPBACK

log = logging.getLogger(__name__)

PACKETS_PER_BURST = 10
PACKET_SECONDS = 0.020
SILENCE = bytes([0xFF]) * 160  # 20 ms of µ-law silence
RETRY_SECONDS = 1.0
# Callers are refused while the echo is unreachable, so its return must be noticed, also where bursts are rare.
MAX_UNREACHABLE_PAUSE_SECONDS = 1.0
MAX_ANSWER_SECONDS = 1.0
MAX_READS = 64
MAX_DATAGRAM_BYTES = 2048


@dataclass(slots=True)
class _Stream:
    """The probe's RTP stream. Timestamps follow a clock, so that a pause does not count as lateness.

    The clock must be neither stepped nor slewed.
    """

    ssrc: int
    sequence: int
    clock_rate_hz: int

    def next_packet(self, now_ns: int) -> bytes:
        self.sequence = (self.sequence + 1) & 0xFFFF
        timestamp = now_ns * self.clock_rate_hz // NS_PER_SECOND
        return build(RtpHeader(PCMU_PAYLOAD_TYPE, self.sequence, timestamp, self.ssrc), SILENCE)


@dataclass(frozen=True, slots=True)
class BurstCounts:
    """The packets of one burst, and those that came back unchanged."""

    sent: int
    answered: int


class Probe:
    """The probe's loop; `config` returns the configuration in force."""

    def __init__(self, call_ports: CallPorts, config: Callable[[], RelayConfig]) -> None:
        self._call_ports = call_ports
        self._config = config
        self._waiting: list[asyncio.Future[BurstCounts]] = []
        self._asked = asyncio.Event()

    async def burst(self) -> BurstCounts:
        """Return the counts of the next burst, which follows at once. It waits for a free port without end."""
        counts: asyncio.Future[BurstCounts] = asyncio.get_running_loop().create_future()
        self._waiting.append(counts)
        self._asked.set()
        try:
            return await counts
        finally:
            if counts in self._waiting:
                self._waiting.remove(counts)

    async def run(self) -> None:
        """Probe for ever, whenever it is enabled and a port is free."""
        while True:
            settings = self._config().probe
            leased = self._call_ports.open_probe() if settings.enabled or self._waiting else None
            if leased is None:
                await self._wait_for_a_port()
                continue
            try:
                await self._probe_on(leased, settings)
            except (MediaFault, OSError, MemoryError) as error:
                log.warning("the probe starts again: %s", str(error) or describe_failure(error))
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                await leased.close()
                self._call_ports.manager.end_probe()

    async def _wait_for_a_port(self) -> None:
        self._call_ports.port_released.clear()
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await self._call_ports.port_released.wait()
        except TimeoutError:
            return

    async def _probe_on(self, leased: LeasedPort, settings: ProbeSettings) -> None:
        """Send bursts until a call gets the port, or the range, the interval or the format changes."""
        config, loop = self._config(), asyncio.get_running_loop()
        with _loopback_socket(self._call_ports.addresses.bound()) as player:
            address, port = player.getsockname()[:2]
            await leased.connect(address, port)
            player.connect((address, leased.port))
            stream = _Stream(secrets.randbits(32), secrets.randbits(16), config.clock_rate_hz)
            while leased.is_bound and self._applies(leased, settings):
                started = loop.time()
                self._asked.clear()
                burst = _Burst(player, stream)
                for number in range(PACKETS_PER_BURST):
                    await asyncio.sleep(max(0.0, started + number * PACKET_SECONDS - loop.time()))
                    burst.send()
                    burst.receive()
                await self._answer(burst)
                await self._wait_for_next_burst(started + settings.interval_seconds)

    async def _answer(self, burst: _Burst) -> None:
        """Wait for the last packets of the burst, if a caller waits for its counts, and return them to it."""
        loop = asyncio.get_running_loop()
        until_seconds = loop.time() + MAX_ANSWER_SECONDS
        while self._waiting and burst.unanswered and loop.time() < until_seconds:
            await asyncio.sleep(PACKET_SECONDS)
            burst.receive()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(burst.counts())

    async def _wait_for_next_burst(self, due_seconds: float) -> None:
        """Return when the next burst is due by the loop's clock, is asked for, or the echo is unreachable."""
        loop = asyncio.get_running_loop()
        while (left_seconds := due_seconds - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_seconds, MAX_UNREACHABLE_PAUSE_SECONDS)):
                    await self._asked.wait()
            if self._asked.is_set() or self._call_ports.measurement.echo.reachable is False:
                return

    def _applies(self, leased: LeasedPort, settings: ProbeSettings) -> bool:
        config = self._config()
        return (
            config.probe == settings
            and (settings.enabled or bool(self._waiting))
            and leased.port in config.port_range
            and leased.port not in config.excluded_ports
            and leased.statistics.clock_rate_hz == config.clock_rate_hz
        )


def _loopback_socket(bound_address: str) -> socket.socket:
    family = family_of(bound_address)
    address = LOOPBACK[family] if ipaddress.ip_address(bound_address).is_unspecified else bound_address
    player = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        player.bind((address, 0))
    except BaseException:
        player.close()
        raise
    return player


class _Burst:
    """The packets of one burst. `unanswered` are those that have not come back unchanged."""

    def __init__(self, player: socket.socket, stream: _Stream) -> None:
        self._player = player
        self._stream = stream
        self._sent = 0
        self.unanswered: set[bytes] = set()

    def counts(self) -> BurstCounts:
        """Return the counts until now."""
        return BurstCounts(self._sent, self._sent - len(self.unanswered))

    def send(self) -> None:
        """Send the next packet of the stream."""
        packet = self._stream.next_packet(time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW))
        self.unanswered.add(packet)
        self._sent += 1
        try:
            self._player.send(packet)
        except OSError as error:
            # A media process that restarts refuses packets for a moment; the relay counts them as lost.
            log.debug("probe packet not sent: %s", error)

    def receive(self) -> None:
        """Count the packets that have come back."""
        for _ in range(MAX_READS):
            try:
                self.unanswered.discard(self._player.recv(MAX_DATAGRAM_BYTES))
            except OSError:
                return

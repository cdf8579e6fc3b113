"""The probe: ten RTP packets at 20 ms every interval, through the very path that calls take.

It plays Asterisk on a loopback socket of its own, on the free port that would be leased last, and gives that port up
at once to a call. It measures while there are no calls, and tells whether the echo answers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from rtppool_core.contract.pools_file import ProbeSettings
from rtppool_core.net.udp import family_of
from rtppool_core.rtp.header import PCMU_PAYLOAD_TYPE, RtpHeader, build
from rtppool_relay.config import RelayConfig
from rtppool_relay.media.supervisor import MediaFault
from rtppool_relay.ports.call_ports import CallPorts, LeasedPort

log = logging.getLogger(__name__)

PACKETS_PER_BURST = 10
PACKET_SECONDS = 0.020
SILENCE = bytes([0xFF]) * 160  # 20 ms of µ-law silence
RETRY_SECONDS = 1.0
READ_AT_ONCE = 64


@dataclass(slots=True)
class _Stream:
    """The probe's RTP stream; its timestamps follow the clock, so that a pause is no lateness."""

    ssrc: int
    sequence: int
    clock_rate_hz: int

    def next_packet(self, now_ns: int) -> bytes:
        self.sequence = (self.sequence + 1) & 0xFFFF
        timestamp = now_ns * self.clock_rate_hz // 1_000_000_000
        return build(RtpHeader(PCMU_PAYLOAD_TYPE, self.sequence, timestamp, self.ssrc), SILENCE)


class Probe:
    """Runs for ever; `config` tells the configuration in force."""

    def __init__(self, call_ports: CallPorts, config: Callable[[], RelayConfig]) -> None:
        self._call_ports = call_ports
        self._config = config
        self._media: LeasedPort | None = None
        call_ports.drop_probe = self.drop

    async def drop(self) -> None:
        """Let go of the port now; the rest is cleared away by `run`."""
        if self._media is not None:
            await self._call_ports.let_go_of_probe(self._media)

    async def run(self) -> None:
        """Probe whenever it is enabled and a port is free."""
        while True:
            settings = self._config().probe
            media = self._call_ports.open_probe() if settings.enabled else None
            if media is None:
                await self._wait_for_a_port()
                continue
            self._media = media
            try:
                await self._probe_on(media, settings)
            except (MediaFault, OSError) as error:
                log.warning("the probe starts again: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                self._media = None
                await media.close()
                self._call_ports.ports.end_probe()

    async def _wait_for_a_port(self) -> None:
        self._call_ports.probe_is_due.clear()
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                await self._call_ports.probe_is_due.wait()
        except TimeoutError:
            return

    async def _probe_on(self, media: LeasedPort, settings: ProbeSettings) -> None:
        """Send bursts until the port is taken away, or the configuration asks for another range, interval or format."""
        config = self._config()
        with _loopback_socket(self._call_ports.bind_address()) as player:
            address, port = player.getsockname()[:2]
            await media.connect(address, port)
            player.connect((address, media.port))
            stream = _Stream(secrets.randbits(32), secrets.randbits(16), config.clock_rate_hz)
            while media.sockets.asterisk.fileno() >= 0 and self._still_wanted(media, settings):
                started = time.monotonic()
                for number in range(PACKETS_PER_BURST):
                    await asyncio.sleep(max(0.0, started + number * PACKET_SECONDS - time.monotonic()))
                    _send(player, stream.next_packet(time.time_ns()))
                    _read_all(player)
                await asyncio.sleep(max(0.0, started + settings.interval_seconds - time.monotonic()))

    def _still_wanted(self, media: LeasedPort, settings: ProbeSettings) -> bool:
        config = self._config()
        return (
            config.probe == settings
            and media.port in config.port_range
            and media.port not in config.excluded_ports
            and media.statistics.clock_rate_hz == config.clock_rate_hz
        )


def _loopback_socket(bind_ip: str) -> socket.socket:
    address = ipaddress.ip_address(bind_ip)
    loopback = "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 IP's version number
    chosen = loopback if address.is_unspecified else bind_ip
    player = socket.socket(family_of(chosen), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    player.bind((chosen, 0))
    return player


def _send(player: socket.socket, packet: bytes) -> None:
    try:
        player.send(packet)
    except OSError as error:
        # The relay's side may be gone for a moment while a media process starts again; the loss is counted there.
        log.debug("probe packet not sent: %s", error)


def _read_all(player: socket.socket) -> None:
    for _ in range(READ_AT_ONCE):
        try:
            player.recv(2048)
        except OSError:
            return

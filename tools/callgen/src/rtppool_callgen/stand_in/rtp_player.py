"""Sockets of media channels, and one task that sends the packets of all streams when they are due."""

from __future__ import annotations

import asyncio
import heapq
import ipaddress
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import Self

from rtppool_callgen.stand_in.round_trips import RoundTrips
from rtppool_callgen.stand_in.rtp_source import PACKET_SECONDS, RtpSource
from rtppool_core.net.udp import TIMESTAMP_SPACE, ask_for_arrival_stamps, family_of, stamp_ns
from rtppool_core.statistics.histogram import Histogram

MAX_READS = 16
MAX_PACKET_BYTES = 2048
# Packets due within the same millisecond are sent together. Shorter sleeps cost more than they gain.
TICK_SECONDS = 0.001
MAX_BEHIND_SECONDS = 1.0


@dataclass(order=True, slots=True)
class _Due:
    at_seconds: float
    number: int
    leg: MediaLeg = field(compare=False)


class MediaLeg:
    """The socket of an externalMedia channel, connected to its peer."""

    def __init__(self, peer: tuple[str, int]) -> None:
        """Bind to the local address of the route to the peer.

        Raises:
            OSError: there is no route.
        """
        self.peer = peer
        self.playing = False
        self.source = RtpSource(secrets.randbits(32), secrets.randbits(16), secrets.randbits(32))
        self.socket = socket.socket(family_of(peer[0]), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.connect(peer)
        # The kernel's stamp is independent of this process's other work.
        ask_for_arrival_stamps(self.socket)
        self._trips = RoundTrips()
        host, port = self.socket.getsockname()[:2]
        self.local = (str(ipaddress.ip_address(host)), int(port))

    @property
    def sent(self) -> int:
        """Packets sent so far."""
        return self.source.sent

    @property
    def returned(self) -> int:
        """Own packets that came back."""
        return self.source.returned

    @property
    def round_trips(self) -> Histogram:
        """From send to return of own packets."""
        return self._trips.histogram

    def read(self) -> None:
        """Read the received packets."""
        for _ in range(MAX_READS):
            try:
                packet, ancillary, _, _ = self.socket.recvmsg(MAX_PACKET_BYTES, TIMESTAMP_SPACE)
            except BlockingIOError:
                return
            except OSError:
                # ECONNREFUSED: the relay has closed the port, the usual end of a call.
                return
            sequence = self.source.count_received(packet)
            returned_ns = stamp_ns(ancillary)
            if sequence is not None and returned_ns is not None:
                self._trips.returned(sequence, returned_ns)

    def send(self) -> None:
        """Send the next packet. A packet that the socket does not accept is lost, as on a wire."""
        sequence = self.source.sequence
        packet = self.source.next_packet()
        self._trips.sent(sequence, time.time_ns())
        try:
            self.socket.send(packet)
        except OSError:
            return


class RtpPlayer:
    """Sends the packets of all playing legs. Use as `async with`."""

    def __init__(self) -> None:
        self._legs: dict[str, MediaLeg] = {}
        self._due: list[_Due] = []
        self._number = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start sending."""
        self._task = asyncio.create_task(self._send_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop sending and close all sockets."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for channel in list(self._legs):
            self.close(channel)

    def open(self, channel: str, peer: tuple[str, int]) -> MediaLeg:
        """Return a new leg to `peer`, silent until `play`."""
        leg = MediaLeg(peer)
        self._legs[channel] = leg
        asyncio.get_running_loop().add_reader(leg.socket.fileno(), leg.read)
        return leg

    def leg(self, channel: str) -> MediaLeg | None:
        """Return the leg of a media channel."""
        return self._legs.get(channel)

    def play(self, channel: str) -> None:
        """Start sending on a channel, every 20 ms."""
        leg = self._legs[channel]
        if not leg.playing:
            leg.playing = True
            self._number += 1
            heapq.heappush(self._due, _Due(asyncio.get_running_loop().time(), self._number, leg))
            self._wake.set()

    def pause(self, channel: str) -> None:
        """Stop sending on a channel."""
        if (leg := self._legs.get(channel)) is not None:
            leg.playing = False

    def close(self, channel: str) -> None:
        """Close the leg of a channel."""
        leg = self._legs.pop(channel, None)
        if leg is not None:
            leg.playing = False
            asyncio.get_running_loop().remove_reader(leg.socket.fileno())
            leg.socket.close()

    async def _send_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._due:
                self._wake.clear()
                await self._wake.wait()
            self._send_due(loop.time())
            if self._due:
                await asyncio.sleep(max(TICK_SECONDS, self._due[0].at_seconds - loop.time()))

    def _send_due(self, now_seconds: float) -> None:
        while self._due and self._due[0].at_seconds <= now_seconds:
            due = heapq.heappop(self._due)
            if not due.leg.playing:
                continue
            due.leg.send()
            due.at_seconds += PACKET_SECONDS
            if now_seconds - due.at_seconds > MAX_BEHIND_SECONDS:
                # After a pause of the whole machine, a burst of the missed packets would measure only the burst.
                due.at_seconds = now_seconds + PACKET_SECONDS
            heapq.heappush(self._due, due)

"""One call's line without a loop around it: Asterisk and the echo are sockets of the test, which turns the crank."""

from __future__ import annotations

import mmap
import socket
from collections import Counter

from rtppool_core.net.udp import family_of
from rtppool_core.rtp.header import RtpHeader, build
from rtppool_relay.media.port_sockets import PortSockets, bind_pair
from rtppool_relay.media.rows import SLOT_BYTES, Word
from rtppool_relay.packets.attach import Leg, take_up
from rtppool_relay.packets.memory import Media, lay_out
from rtppool_relay.packets.packet_path import drain_queued, from_asterisk, from_echo
from rtppool_relay.streams.row_reader import RowReader

SLOT = 1
EXPEDITED_TOS = 46 << 2


def udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(family_of(host), socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


class Line:
    """A call without a loop: the test turns the crank."""

    def __init__(self, extend: bool = False, host: str = "127.0.0.1") -> None:
        self.extend, self.host = extend, host
        self.asterisk, self.echo = udp(host), udp(host)
        self.pair: PortSockets = bind_pair(host, 0, 46)
        self.pair.echo.connect(self.echo.getsockname())
        self.memory = mmap.mmap(-1, 2 * SLOT_BYTES)
        self.reader = RowReader(self.memory, SLOT)
        self.media: Media
        self.counted: Counter[Word] = Counter()

    def connect(self) -> None:
        self.pair.asterisk.connect(self.asterisk.getsockname())
        self.resume()

    def resume(self) -> None:
        """As a media process that has just been handed the sockets does."""
        leg = Leg(self.asterisk.getsockname()[:2], EXPEDITED_TOS, self.extend)
        self.media = lay_out(self.memory, SLOT + 1, -1, -1)
        take_up(self.media, SLOT, self.pair.asterisk, self.pair.echo, leg)
        drain_queued(self.media, SLOT)

    def crank_asterisk(self) -> None:
        from_asterisk(self.media, SLOT)

    def crank_echo(self) -> None:
        from_echo(self.media, self.pair.echo.fileno())

    @property
    def address(self) -> tuple[str, int]:
        return (self.host, self.pair.port)

    def send(self, packet: bytes) -> None:
        self.asterisk.sendto(packet, self.address)
        self.crank_asterisk()

    def answer(self, packet: bytes) -> None:
        self.echo.sendto(packet, self.address)
        self.crank_echo()

    def count(self, word: Word) -> int:
        if word < Word.SENT_TO_ECHO:
            return self.reader.word(word)
        # These two are counted in the rows, whatever has become of them.
        self.reader.take(1 << 62)
        self.counted.update(self.reader.counted_since_last())
        return self.counted[word]

    def close(self) -> None:
        self.pair.close()
        self.asterisk.close()
        self.echo.close()


def packet(sequence: int, ssrc: int = 7, payload: bytes = b"p" * 160, marker: bool = False) -> bytes:
    return build(RtpHeader(0, sequence, sequence * 160, ssrc, marker), payload)


def received(sock: socket.socket) -> bytes | None:
    try:
        return sock.recv(4096)
    except BlockingIOError:
        return None

"""One call's packet path without a media process: the test plays Asterisk and the echo, and forwards each packet."""

from __future__ import annotations

import mmap
from collections import Counter

from rtppool_relay.media.port_sockets import PortSockets, bind_pair
from rtppool_relay.media.rows import Word
from rtppool_relay.media.sizes import SLOT_BYTES
from rtppool_relay.packets.attach import CallSettings, attach
from rtppool_relay.packets.memory import Media, lay_out
from rtppool_relay.packets.packet_path import drain_queued, from_asterisk, from_echo
from rtppool_relay.streams.row_reader import RowReader, RowRings, by_counter, count_all
from rtppool_testing.sockets import udp_socket

SLOT = 1
EXPEDITED_TOS = 46 << 2


class Line:
    """A call whose packets are forwarded one by one, when the test says so."""

    def __init__(self, extend: bool = False, host: str = "127.0.0.1") -> None:
        self.extend, self.host = extend, host
        self.asterisk, self.echo = udp_socket(host), udp_socket(host)
        self.pair: PortSockets = bind_pair(host, 0, 46)
        self.pair.echo.connect(self.echo.getsockname())
        self.memory = mmap.mmap(-1, 2 * SLOT_BYTES)
        self.reader = RowReader(RowRings(self.memory), SLOT)
        self.media: Media
        self.counted: Counter[Word] = Counter()

    def connect(self) -> None:
        self.pair.asterisk.connect(self.asterisk.getsockname())
        self.resume()

    def resume(self) -> None:
        """Attach the call to new memory, as a restarted media process does."""
        settings = CallSettings(self.asterisk.getsockname()[:2], EXPEDITED_TOS, self.extend)
        self.media = lay_out(self.memory, SLOT + 1, -1, -1)
        attach(self.media, SLOT, self.pair.asterisk, self.pair.echo, settings)
        drain_queued(self.media, SLOT)

    def forward_from_asterisk(self) -> None:
        from_asterisk(self.media, SLOT)

    def forward_from_echo(self) -> None:
        from_echo(self.media, self.pair.echo.fileno())

    @property
    def address(self) -> tuple[str, int]:
        return (self.host, self.pair.port)

    def send(self, packet: bytes) -> None:
        self.asterisk.sendto(packet, self.address)
        self.forward_from_asterisk()

    def answer(self, packet: bytes) -> None:
        self.echo.sendto(packet, self.address)
        self.forward_from_echo()

    def send_in_the_past(self, packet: bytes, ago_ns: int) -> None:
        """Send with a wall clock that is behind by `ago_ns`: the answer seems to take so much longer."""
        self.media.clock_offset_ns[0] = -ago_ns
        self.send(packet)
        self.media.clock_offset_ns[0] = 0

    def count(self, word: Word) -> int:
        if word < Word.SENT_TO_ECHO:
            return self.reader.word(word)
        # A reader counts these two in the rows.
        self.reader.take(1 << 62)
        self.counted.update(by_counter(count_all([self.reader])))
        return self.counted[word]

    def close(self) -> None:
        self.pair.close()
        self.asterisk.close()
        self.echo.close()

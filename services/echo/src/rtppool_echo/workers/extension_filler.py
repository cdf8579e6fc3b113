"""Filling of the header extension that the relay sends empty (`rtppool_core.rtp.echo_extension`).

Only a packet in exactly the relay's form is changed: first byte 0x90, and the extension's mark, unfilled. The arrival
time is the kernel's stamp. The departure time is read once, just before the batch leaves. Refused packets are not
counted.
"""

from __future__ import annotations

import time

from rtppool_core.rtp import echo_extension
from rtppool_echo.messages.datagram_memory import SLOT_BYTES, DatagramMemory
from rtppool_echo.rules.received_counts import ReceivedCounts

_MIN_BYTES = echo_extension.MIN_PACKET_BYTES
_MARK, _MARK_AT, _MARK_END = echo_extension.UNFILLED_MARK, echo_extension.MARK_OFFSET, echo_extension.MARK_END
_SSRC_AT, _SSRC_END = 8, 12


class ExtensionFiller:
    """`waiting` holds slot and count of each packet that `fill()` will change."""

    def __init__(self, memory: DatagramMemory, counts: ReceivedCounts) -> None:
        self.waiting: list[tuple[int, int]] = []
        self._payloads = memory.payloads
        self._stamped = memory.stamped
        self._received_ns = memory.received_ns
        self._count = counts.count

    def is_in(self, at: int, size: int) -> bool:
        """Return whether the packet in a slot, `size` bytes long, carries the extension unfilled."""
        start = at * SLOT_BYTES
        return size >= _MIN_BYTES and self._payloads[start + _MARK_AT : start + _MARK_END] == _MARK

    def note(self, at: int, source: bytes) -> None:
        """Count the packet in a slot and have it filled. Does nothing where the kernel does not stamp arrivals."""
        if self._stamped:
            start = at * SLOT_BYTES
            stream = source + self._payloads[start + _SSRC_AT : start + _SSRC_END]
            self.waiting.append((at, self._count(stream)))

    def fill(self) -> None:
        """Fill every noted packet. Call it just before they are sent."""
        sent_ns = time.time_ns()
        payloads, received_ns, write = self._payloads, self._received_ns, echo_extension.MEASURED.pack_into
        for at, count in self.waiting:
            start = at * SLOT_BYTES
            payloads[start + echo_extension.FILLED_OFFSET] = 1
            write(payloads, start + echo_extension.MEASURED_OFFSET, count, received_ns(at), sent_ns)
        self.waiting.clear()

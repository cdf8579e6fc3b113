"""Fills the header extension that the relay sends for it (`rtppool_core.echo_extension`), in place.

Only a packet in exactly the relay's form is touched: first byte 0x90, and the extension's mark, unfilled. Received is
the kernel's stamp; sent is read once, just before the batch leaves. What the rules refuse is not counted.
"""

from __future__ import annotations

import time

from rtppool_core import echo_extension
from rtppool_core.rtp import FIXED_HEADER_BYTES
from rtppool_echo.datagram_memory import SLOT_BYTES, DatagramMemory
from rtppool_echo.received_counts import ReceivedCounts

_SSRC_OFFSET = 8


class ExtensionFiller:
    """`waiting` holds slot and count of each packet that `fill()` will write to."""

    def __init__(self, memory: DatagramMemory, counts: ReceivedCounts) -> None:
        self.waiting: list[tuple[int, int]] = []
        self._memory = memory
        self._counts = counts

    def note(self, at: int, source: bytes, size: int) -> None:
        """Count the packet in a slot when it carries the extension unfilled."""
        if size < echo_extension.SMALLEST_PACKET_BYTES or not self._memory.stamped:
            return
        start = at * SLOT_BYTES
        payloads = self._memory.payloads
        mark = payloads[start + echo_extension.MARK_OFFSET : start + echo_extension.MARK_END]
        if mark != echo_extension.UNFILLED_MARK:
            return
        ssrc = bytes(payloads[start + _SSRC_OFFSET : start + FIXED_HEADER_BYTES])
        self.waiting.append((at, self._counts.count(source + ssrc)))

    def fill(self) -> None:
        """Write into every noted packet: this is the moment before they are sent."""
        sent_ns = time.time_ns()
        payloads = self._memory.payloads
        for at, count in self.waiting:
            start = at * SLOT_BYTES
            payloads[start + echo_extension.FILLED_OFFSET] = 1
            measured_at = start + echo_extension.MEASURED_OFFSET
            received_ns = self._memory.received_ns(at)
            echo_extension.MEASURED.pack_into(payloads, measured_at, count, received_ns, sent_ns)
        self.waiting.clear()

"""Fills the header extension that the relay sends for it (`rtppool_core.echo_extension`), in place.

Only a packet in exactly the relay's form is touched: first byte 0x90, and the extension's mark, unfilled. Received is
the kernel's stamp; sent is read once, just before the batch leaves. What the rules refuse is not counted.
"""

from __future__ import annotations

import struct
import time

from rtppool_core import echo_extension
from rtppool_echo.datagram_memory import SLOT_BYTES, DatagramMemory
from rtppool_echo.received_counts import ReceivedCounts

# SSRC, and the extension's mark behind it.
_SSRC_AND_MARK = struct.Struct(f"8x4s{len(echo_extension.UNFILLED_MARK)}s")


class ExtensionFiller:
    """`waiting` holds slot and count of each packet that `fill()` will write to."""

    def __init__(self, memory: DatagramMemory, counts: ReceivedCounts) -> None:
        self.waiting: list[tuple[int, int]] = []
        self._memory = memory
        self._count = counts.count

    def note(self, at: int, source: bytes, size: int) -> None:
        """Count the packet in a slot when it carries the extension unfilled."""
        if size < echo_extension.SMALLEST_PACKET_BYTES or not self._memory.stamped:
            return
        ssrc, mark = _SSRC_AND_MARK.unpack_from(self._memory.payloads, at * SLOT_BYTES)
        if mark == echo_extension.UNFILLED_MARK:
            self.waiting.append((at, self._count(source + ssrc)))

    def fill(self) -> None:
        """Write into every noted packet: this is the moment before they are sent."""
        sent_ns = time.time_ns()
        payloads, received_ns, write = (
            self._memory.payloads,
            self._memory.received_ns,
            echo_extension.MEASURED.pack_into,
        )
        for at, count in self.waiting:
            start = at * SLOT_BYTES
            payloads[start + echo_extension.FILLED_OFFSET] = 1
            write(payloads, start + echo_extension.MEASURED_OFFSET, count, received_ns(at), sent_ns)
        self.waiting.clear()

"""Filling of the header extension that the relay sends empty (`rtppool_core.rtp.echo_extension`).

Only a packet in exactly the relay's form is changed: first byte 0x90, and the extension's mark, unfilled. The arrival
time is the kernel's stamp. The departure time is read once, just before the batch leaves. Refused packets are not
counted.

The host time is asked for only for a packet that was held for `MIN_SLOW_NS`. An ordinary one has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rtppool_core.rtp import echo_extension
from rtppool_echo.messages.datagram_memory import SLOT_BYTES, DatagramMemory
from rtppool_echo.rules.received_counts import ReceivedCounts

_MIN_BYTES = echo_extension.MIN_PACKET_BYTES
_MARK, _MARK_AT, _MARK_END = echo_extension.UNFILLED_MARK, echo_extension.MARK_OFFSET, echo_extension.MARK_END
_SSRC_AT, _SSRC_END = 8, 12
MIN_SLOW_NS = 1_000_000
CHECK_EVERY_NS = 1_000_000_000
# The time within the last so many ns in which this machine did not run the process; None where no witness works.
HostTime = Callable[[int], int | None]


class ExtensionFiller:
    """`waiting` holds slot and count of each packet that `fill()` will change."""

    def __init__(self, memory: DatagramMemory, counts: ReceivedCounts, host_ns: HostTime) -> None:
        self.waiting: list[tuple[int, int]] = []
        self._payloads = memory.payloads
        self._stamped = memory.stamped
        self._received_ns = memory.received_ns
        self._count = counts.count
        self._host_ns = host_ns
        # The field of an ordinary packet, which says whether a witness works, and when it was asked.
        self._ordinary, self._checked_ns = 0, 0

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
        payloads, received_ns_of, write = self._payloads, self._received_ns, echo_extension.FILLED.pack_into
        if not 0 <= sent_ns - self._checked_ns < CHECK_EVERY_NS:
            self._checked_ns, self._ordinary = sent_ns, echo_extension.host_field(self._host_ns(0))
        ordinary = self._ordinary
        for at, count in self.waiting:
            received_ns = received_ns_of(at)
            held_ns = sent_ns - received_ns
            host = ordinary if held_ns < MIN_SLOW_NS else echo_extension.host_field(self._host_ns(held_ns))
            write(payloads, at * SLOT_BYTES + echo_extension.FILLED_OFFSET, 1, host, count, received_ns, sent_ns)
        self.waiting.clear()

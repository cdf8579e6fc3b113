"""The RTP header (RFC 3550 section 5.1) to and from bytes.

 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|V=2|P|X|  CC   |M|     PT      |       sequence number         |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                           timestamp                           |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|           synchronization source (SSRC) identifier            |
+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
|            contributing source (CSRC) identifiers             |
|                             ....                              |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

from __future__ import annotations

import struct
from typing import NamedTuple

RTP_VERSION = 2
FIXED_HEADER = struct.Struct("!BBHII")
FIXED_HEADER_BYTES = FIXED_HEADER.size
CSRC_BYTES = 4
EXTENSION_HEADER_BYTES = 4
CSRC_COUNT_MASK = 0x0F
EXTENSION_BIT = 0x10
PADDING_BIT = 0x20
MARKER_BIT = 0x80
PAYLOAD_TYPE_MASK = 0x7F
# A second byte of 192-223 is RTCP on the same port (RFC 5761 section 4).
FIRST_RTCP_BYTE = 192
LAST_RTCP_BYTE = 223

PCMU_PAYLOAD_TYPE = 0
PCMA_PAYLOAD_TYPE = 8
TELEPHONE_EVENT_PAYLOAD_TYPE = 101
COMFORT_NOISE_PAYLOAD_TYPE = 13

REASON_SHORT = "short"
REASON_VERSION = "version"
REASON_RTCP = "rtcp"
REASON_TRUNCATED = "truncated"
REASONS = (REASON_SHORT, REASON_VERSION, REASON_RTCP, REASON_TRUNCATED)
_SHORT, _VERSION, _RTCP, _TRUNCATED = range(len(REASONS))
NO_DEFECT = -1


class RtpError(ValueError):
    """A packet that is not RTP. `reason` is one of `REASONS`, short enough for a metric's label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RtpHeader(NamedTuple):
    """One packet's header. `payload_offset` and `payload_bytes` locate the payload, without padding."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    marker: bool = False
    extension: bool = False
    payload_offset: int = FIXED_HEADER_BYTES
    payload_bytes: int = 0


def defect(packet: bytes | bytearray | memoryview, size: int) -> str | None:
    """Return why the first `size` bytes of `packet` are not RTP (one of `REASONS`), or None. Never raises."""
    place = defect_at(packet, 0, size)
    return None if place == NO_DEFECT else REASONS[place]


def defect_at(data: bytes | bytearray | memoryview, start: int, size: int) -> int:
    """Return the same for `size` bytes from `start` on, as a position in `REASONS` or `NO_DEFECT`.

    Numbers only, so that numba can compile it: sums and products, as shifting a byte would keep it a byte there.
    """
    if size < FIXED_HEADER_BYTES:
        return _SHORT
    first = data[start]
    if first // 64 != RTP_VERSION:
        return _VERSION
    if FIRST_RTCP_BYTE <= data[start + 1] <= LAST_RTCP_BYTE:
        return _RTCP
    if first & (CSRC_COUNT_MASK | EXTENSION_BIT | PADDING_BIT) == 0:
        return NO_DEFECT
    offset = FIXED_HEADER_BYTES + CSRC_BYTES * (first & CSRC_COUNT_MASK)
    if first & EXTENSION_BIT:
        if offset + EXTENSION_HEADER_BYTES > size:
            return _TRUNCATED
        words = 256 * data[start + offset + 2] + data[start + offset + 3]
        offset += EXTENSION_HEADER_BYTES + 4 * words
    padding = 0
    if first & PADDING_BIT:
        padding += data[start + size - 1]
        if padding == 0:
            return _TRUNCATED
    return _TRUNCATED if offset + padding > size else NO_DEFECT


def parse(packet: bytes | bytearray | memoryview) -> RtpHeader:
    """Read a whole packet's header.

    Raises:
        RtpError: too short, another version, RTCP, or a CSRC list, extension or padding longer than the packet.
    """
    size = len(packet)
    reason = defect(packet, size)
    if reason is not None:
        raise RtpError(reason, f"not an RTP packet ({reason}): {size} bytes, starts with {bytes(packet[:4]).hex()}")
    first, second, sequence, timestamp, ssrc = FIXED_HEADER.unpack_from(packet)
    offset = FIXED_HEADER_BYTES + CSRC_BYTES * (first & CSRC_COUNT_MASK)
    if first & EXTENSION_BIT:
        offset += EXTENSION_HEADER_BYTES + 4 * int.from_bytes(packet[offset + 2 : offset + 4], "big")
    padding = packet[size - 1] if first & PADDING_BIT else 0
    return RtpHeader(
        payload_type=second & PAYLOAD_TYPE_MASK,
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        marker=bool(second & MARKER_BIT),
        extension=bool(first & EXTENSION_BIT),
        payload_offset=offset,
        payload_bytes=size - offset - padding,
    )


def build(header: RtpHeader, payload: bytes) -> bytes:
    """Return a packet without CSRCs, extension or padding. Numbers are taken modulo their width."""
    second = header.payload_type & PAYLOAD_TYPE_MASK | (MARKER_BIT if header.marker else 0)
    return (
        FIXED_HEADER.pack(
            RTP_VERSION << 6,
            second,
            header.sequence & 0xFFFF,
            header.timestamp & 0xFFFF_FFFF,
            header.ssrc & 0xFFFF_FFFF,
        )
        + payload
    )

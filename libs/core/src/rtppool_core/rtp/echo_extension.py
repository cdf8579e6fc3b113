"""The header extension of the leg between relay and echo (RFC 3550 section 5.3.1), opt-in at the relay.

The relay inserts it full size after the fixed header, the echo fills it in place, and the relay removes it before the
packet goes to Asterisk. An answer is therefore never longer than its question, and a plain echo returns it unfilled. It
separates loss on the way to the echo from loss on the way back, and contains the packet's time inside the echo.

 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|       profile = 0x7270        |          length = 6           |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|  version = 1  |    filled     |           host time           |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|  packets of this source and SSRC that the echo has received   |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|      received: the echo's wall clock, ns since 1970 (64)      |
|                                                               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|        sent: the same clock just before the send (64)         |
|                                                               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

The count includes this packet, so it begins at 1; an echo that forgot a source (bounded table, restart) begins again.

The host time is the part of this packet's time inside the echo in which the echo's machine did not run it. 0 is "not
reported", as from an echo before this field. Otherwise it is one more than the number of units of 32 us.
"""

from __future__ import annotations

import struct

from rtppool_core.rtp.header import EXTENSION_BIT, FIXED_HEADER_BYTES, RTP_VERSION

# Version 2, extension, no padding, no CSRC: the only form in which the relay sends it and the echo fills it.
FIRST_BYTE = RTP_VERSION << 6 | EXTENSION_BIT
EXTENSION_BYTES = 28
UNFILLED = struct.pack("!HHBBHIQQ", 0x7270, 6, 1, 0, 0, 0, 0, 0)
FILLED_MARK = struct.pack("!HHBB", 0x7270, 6, 1, 1)
# Compared with the bytes after the fixed header: the end of the mark, and the echo's values after it.
MARK_OFFSET = FIXED_HEADER_BYTES
MARK_END = MARK_OFFSET + len(FILLED_MARK)
UNFILLED_MARK = UNFILLED[: len(FILLED_MARK)]
FILLED_OFFSET = MARK_END - 1
# The host time, then the values of `MEASURED`.
HOST_OFFSET = MARK_END
MEASURED = struct.Struct("!IQQ")
MEASURED_OFFSET = HOST_OFFSET + 2
# Its parts: the count has 4 bytes, and each time 8.
COUNT_OFFSET = MEASURED_OFFSET
RECEIVED_OFFSET = COUNT_OFFSET + 4
SENT_OFFSET = RECEIVED_OFFSET + 8
# All that the echo fills, from `FILLED_OFFSET` on.
FILLED = struct.Struct("!BHIQQ")
HOST_UNIT_NS = 32_000
MAX_HOST_FIELD = 0xFFFF
MIN_PACKET_BYTES = FIXED_HEADER_BYTES + EXTENSION_BYTES


def host_field(host_ns: int | None) -> int:
    """Return the field for a host time, None where the echo does not know it. It is rounded to the nearest unit."""
    return 0 if host_ns is None else min(1 + (host_ns + HOST_UNIT_NS // 2) // HOST_UNIT_NS, MAX_HOST_FIELD)

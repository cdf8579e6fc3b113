"""The memory that a media process writes and the control process reads: a slot for each live port.

A slot is a header of 64-bit words (where the stream stands, then counters) and a ring of fixed-size rows, one for each
packet sent to the echo. A row lies at `index % ROWS_PER_SLOT`; `index` is the extended sequence number. A row is
finished by y, its answer's last time, written last: a reader takes a row when it has y, or when x is so old that no
answer counts any more. A new stream (SSRC change or sequence jump) starts a new `epoch` at an index far above the last
one, whose low 16 bits are again the sequence number.
"""

from __future__ import annotations

import struct
from enum import IntEnum

ROWS_PER_SLOT = 1024  # 20 s at 50 packets a second
ROW_BYTES = 64
HEADER_BYTES = 4096  # a page, so that rows of neighbours never share one
SLOT_BYTES = HEADER_BYTES + ROWS_PER_SLOT * ROW_BYTES
SLOTS = 4096

# What is written when a packet leaves: a, x, index, SSRC, timestamp, epoch, the header's second byte, bytes; zeros
# for what its answer will bring. And what is written when the answer leaves, y last: an answered row is one with y.
DEPARTURE = struct.Struct("<qqQIIHBxH26x")
ANSWER = struct.Struct("<qq")
ANSWER_OFFSET = 40
# What the answer needs of its row: x, index, bytes, y.
AWAITED = struct.Struct("<8xqQ12xH10xq8x")
# What the echo filled into the header extension: how many packets of this stream it has received, how long it held
# this one (ns). A count of 0 means that it filled nothing.
ECHO_MEASURED = struct.Struct("<II")
ECHO_MEASURED_OFFSET = 56
LARGEST_ECHO_RESIDENCE_NS = 0xFFFF_FFFF
# The words that every packet from Asterisk moves, as they lie: committed index, rows written, DSCP mismatches.
COMMIT = struct.Struct("<QQQ")

LOST_AFTER_NS = 2_000_000_000


class Word(IntEnum):
    """Positions of the header's 64-bit words. From `SENT_TO_ECHO` on they are counters that only grow."""

    EPOCH = 0
    SSRC = 1
    FIRST_INDEX = 2  # of the current epoch
    COMMITTED_INDEX = 3
    SENT_TO_ECHO = 4  # rows written
    SOURCE_DSCP_MISMATCH = 5  # packets from Asterisk with another DSCP than the relay's
    DSCP_CHANGED = 6  # answers of the echo with another DSCP than the relay's
    DUPLICATE_SOURCE = 7
    DUPLICATE_ECHO = 8
    TOO_LATE = 9
    UNMATCHED = 10
    OFF_SOURCE = 11  # queued before the socket was connected, from somebody else
    BAD_SEQUENCE = 12
    SHORT = 13
    VERSION = 14
    RTCP = 15
    TRUNCATED = 16
    OVERSIZE = 17
    ECHO_ERROR = 18  # ICMP or send errors on the echo's socket
    ASTERISK_ERROR = 19  # the same on Asterisk's socket
    RETURN_FAILED = 20  # answers that the kernel would not send to Asterisk
    DEPARTURES_STAMPED = 21  # sends that the kernel stamped, too


# A ring in the header for what the kernel's stamps of departures say: stamp - our own reading, in ns.
DEPARTURE_ERRORS = 64
DEPARTURE_ERRORS_OFFSET_WORDS = 256

# Words that count dropped datagrams, by the reason that metrics and /status show.
DROP_REASONS: dict[str, Word] = {
    "duplicate_source": Word.DUPLICATE_SOURCE,
    "duplicate_echo": Word.DUPLICATE_ECHO,
    "too_late": Word.TOO_LATE,
    "unmatched": Word.UNMATCHED,
    "off_source": Word.OFF_SOURCE,
    "bad_sequence": Word.BAD_SEQUENCE,
    "short": Word.SHORT,
    "version": Word.VERSION,
    "rtcp": Word.RTCP,
    "truncated": Word.TRUNCATED,
    "oversize": Word.OVERSIZE,
}
WORDS = len(Word)


def slot_offset(slot: int) -> int:
    """Where a slot begins, in bytes."""
    return slot * SLOT_BYTES

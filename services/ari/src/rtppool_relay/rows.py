"""The memory that a media process writes and the control process reads: a slot for each live port.

A slot is a header of 64-bit words (the commit counter first, then counters of rare events) and a ring of fixed-size
rows, one for each packet sent to the echo. A row lies at `index % ROWS_PER_SLOT`; `index` is the extended sequence
number, and it is written last, so that a reader who sees it sees the whole row. `answered` closes the answer's times
likewise. A new stream (SSRC change or sequence jump) starts a new `epoch` at an index far above the last one, whose
low 16 bits are again the sequence number.
"""

from __future__ import annotations

import struct
from enum import IntEnum

ROWS_PER_SLOT = 1024  # 20 s at 50 packets a second
ROW_BYTES = 64
HEADER_BYTES = 4096  # a page, so that rows of neighbours never share one
SLOT_BYTES = HEADER_BYTES + ROWS_PER_SLOT * ROW_BYTES
SLOTS = 4096

# a, x, r, y, SSRC, timestamp, epoch, payload type, marker, bytes, answered, index, echo count, echo residence
ROW = struct.Struct("<qqqqIIHBBHHQII")
# The same row as it is written when a packet leaves: what its answer brings is zeroed by the padding.
DEPARTURE = struct.Struct("<qq16xIIHBBH2xQ8x")
ANSWER = struct.Struct("<qq")
ANSWER_OFFSET = 16
# What the echo filled into the header extension: how many packets of this stream it has received, how long it held
# this one (ns). A count of 0 means that it filled nothing.
ECHO_MEASURED = struct.Struct("<II")
ECHO_MEASURED_OFFSET = 56
LARGEST_ECHO_RESIDENCE_NS = 0xFFFF_FFFF
SENT_OFFSET_WORDS = 1  # x, in 64-bit words
SSRC_OFFSET_INTS = 8  # in 32-bit words
BYTES_OFFSET_SHORTS = 22  # in 16-bit words
ANSWERED_OFFSET_SHORTS = 23  # in 16-bit words
INDEX_OFFSET_WORDS = 6  # in 64-bit words

LOST_AFTER_NS = 2_000_000_000


class Word(IntEnum):
    """Positions of the header's 64-bit words. From `FROM_ASTERISK` on they are counters that only grow."""

    COMMITTED_INDEX = 0
    EPOCH = 1
    SSRC = 2
    FIRST_INDEX = 3  # of the current epoch
    FROM_ASTERISK = 4  # datagrams read from Asterisk's side
    FROM_ECHO = 5
    SENT_TO_ECHO = 6  # rows written
    SENT_TO_ASTERISK = 7
    DUPLICATE_SOURCE = 8
    DUPLICATE_ECHO = 9
    TOO_LATE = 10
    UNMATCHED = 11
    OFF_SOURCE = 12  # queued before the socket was connected, from somebody else
    BAD_SEQUENCE = 13
    SHORT = 14
    VERSION = 15
    RTCP = 16
    TRUNCATED = 17
    OVERSIZE = 18
    ECHO_ERROR = 19  # ICMP or send errors on the echo's socket
    ASTERISK_ERROR = 20
    DSCP_CHANGED = 21  # answers of the echo with another DSCP than the relay's
    SOURCE_DSCP_MISMATCH = 22  # packets from Asterisk with another DSCP than the relay's
    DEPARTURES_STAMPED = 23  # sends that the kernel stamped, too


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

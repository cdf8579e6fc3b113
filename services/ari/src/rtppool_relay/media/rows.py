"""The memory that media processes write and the control process reads: one slot for each live port.

A slot is a header of 64-bit words (the stream's state, then counters of rare events) and a ring of fixed-size rows, one
for each packet sent to the echo. A row lies at `index % ROWS_PER_SLOT`. `index` is the extended sequence number, and is
written last when the packet leaves. `ordinal` counts the rows of the slot. This commit counter is in the row itself, so
that a packet touches one cache line.

The answer's last time, y, completes a row and is written last. A reader takes a row when it has y, or when x is so old
that no answer counts any more. A new stream (SSRC change or sequence jump) starts a new `epoch` at an index far above
the last one. An index is the extended sequence number plus the epoch's offset. The offset is 0 unless rows of another
source that wait for their answers lie at the same places of the ring. A return to an SSRC whose packets are still under
way goes on in its epoch.

Stamps of arrivals are the kernel's, in seconds and nanoseconds of the wall clock. The reader converts them to ns. The
wall clock is stepped and slewed, so x and y also have the reading of CLOCK_MONOTONIC_RAW, which is neither.
"""

from __future__ import annotations

import mmap
from enum import IntEnum

import numpy as np

from rtppool_relay.media.sizes import HEADER_BYTES, ROW_BYTES, ROWS_PER_SLOT, SLOT_BYTES

# A row's layout. From Asterisk: a (the kernel's stamp of arrival), x (just before the send), SSRC, timestamp, epoch,
# the header's second byte, TOS, bytes, ordinal, index. From the echo: r, y. `x_raw` and `y_raw` are x and y by
# CLOCK_MONOTONIC_RAW, in units of `RAW_UNIT_NS`, modulo 2^32. `answered` is the upper quarter of y: not 0 for any time
# from 1970-01-04 on. From the header extension, as the echo filled it: the number of packets of this stream that it
# received, and its residence time of this one. A count of 0 means that it filled nothing. `echo_host` is its report of
# host time in this one (`echo_extension`).
#
# `x_cpu` and `y_cpu` are the processors on which the media process read x and y. `r_cpu` is the one on which the kernel
# received the answer, where the echo's leg took `MIN_SLOW_ECHO_NS` more than usual; else it is `UNKNOWN_CPU`, and costs
# nothing. `echo_is_local` is 1 where the echo that answered has an address of this machine.
WRITTEN_DTYPE = np.dtype(
    {
        "names": [
            "a_seconds", "a_nanoseconds", "x", "x_raw", "ssrc", "timestamp", "epoch", "second_byte", "tos", "bytes",
            "ordinal", "index", "r_seconds", "r_nanoseconds", "y_raw", "y", "answered", "echo_count",
            "echo_residence_ns", "echo_host", "x_cpu", "y_cpu", "r_cpu", "echo_is_local",
        ],
        "formats": [
            "<u4", "<u4", "<i8", "<u4", "<u4", "<u4", "<u2", "u1", "u1", "<u2",
            "<u2", "<u8", "<u4", "<u4", "<u4", "<i8", "<u2", "<u4",
            "<u4", "<u2", "u1", "u1", "u1", "u1",
        ],
        "offsets": [
            0, 4, 8, 16, 20, 24, 28, 30, 31, 32, 34, 36, 44, 48, 52, 56, 62, 64,
            68, 72, 74, 75, 76, 77,
        ],
        "itemsize": ROW_BYTES,
    }
)  # fmt: skip
MAX_ECHO_RESIDENCE_NS = 0xFFFF_FFFF
# A processor with this number or a higher one, or none that the kernel names.
UNKNOWN_CPU = 255
# By so much an echo's leg is longer than the call's usual one, before the processor of its answer is asked for.
MIN_SLOW_ECHO_NS = 1_000_000
ORDINALS = 1 << 16
# 256 ns: the round trip keeps its digits, and the count wraps after 18 minutes.
RAW_UNIT_BITS = 8
RAW_UNIT_NS = 1 << RAW_UNIT_BITS
RAW_UNITS = 1 << 32

LOST_AFTER_NS = 2_000_000_000
# Of a TOS or traffic class; the other two are ECN (RFC 2474 section 3).
DSCP_BITS = 0xFC


class Word(IntEnum):
    """Positions of the header's 64-bit words. From `DSCP_CHANGED` on they are counters that only grow.

    The last two are not in the header: a reader counts them in the rows.
    """

    EPOCH = 0  # changes of the stream: a new one, or a return to an earlier one. A new one has this number
    SSRC = 1
    FIRST_INDEX = 2  # of the current stream
    TOS = 3  # as the relay marks its packets
    DSCP_CHANGED = 4  # answers of the echo with another DSCP than the relay's
    DUPLICATE_SOURCE = 5
    DUPLICATE_ECHO = 6
    TOO_LATE = 7
    UNMATCHED = 8
    OFF_SOURCE = 9  # queued before the socket was connected, from another sender
    BAD_SEQUENCE = 10
    SHORT = 11
    VERSION = 12
    RTCP = 13
    TRUNCATED = 14
    OVERSIZE = 15
    ECHO_ERROR = 16  # ICMP or send errors on the echo's socket
    ASTERISK_ERROR = 17  # the same on Asterisk's socket
    RETURN_FAILED = 18  # answers whose send to Asterisk failed
    DEPARTURES_STAMPED = 19  # sends with a kernel stamp
    SENT_TO_ECHO = 20
    SOURCE_DSCP_MISMATCH = 21  # packets from Asterisk with another DSCP than the relay's


COUNTERS = tuple(word for word in Word if word >= Word.DSCP_CHANGED)
WORDS = int(Word.SENT_TO_ECHO)

# A ring in the header of departure errors: the kernel's stamp minus our own reading, in ns.
DEPARTURE_ERRORS = 64
DEPARTURE_ERRORS_OFFSET_WORDS = 256
# The current stream's offset from sequence number to index, for a media process that takes the call over.
SEQUENCE_OFFSET_WORD = DEPARTURE_ERRORS_OFFSET_WORDS + DEPARTURE_ERRORS

# The counters of dropped datagrams, by the reason in metrics and /status.
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


def slot_offset(slot: int) -> int:
    """Return the offset of a slot in bytes."""
    return slot * SLOT_BYTES


def read_ordinals(memory: mmap.mmap, slot: int) -> bytes:
    """Return the ordinals of a slot's rows: they differ from earlier ones where packets were forwarded since."""
    rows = np.frombuffer(memory, WRITTEN_DTYPE, ROWS_PER_SLOT, slot_offset(slot) + HEADER_BYTES)
    return rows["ordinal"].tobytes()

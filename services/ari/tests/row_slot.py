"""A slot of rows that a test fills, packet by packet, as a media process would."""

from __future__ import annotations

import mmap

import numpy as np

from rtppool_core.udp import TIMESPEC
from rtppool_relay.row_reader import RowReader
from rtppool_relay.rows import (
    ANSWER,
    ANSWER_OFFSET,
    DEPARTURE,
    ECHO_MEASURED,
    ECHO_MEASURED_OFFSET,
    HEADER_BYTES,
    ROW_BYTES,
    ROWS_PER_SLOT,
    SLOT_BYTES,
    Word,
)
from rtppool_relay.stream_statistics import StreamStatistics
from rtppool_relay.wall_clock import WallClock

MS = 1_000_000
SECOND = 1_000 * MS
T0 = 1_700_000_000 * SECOND
FIRST_INDEX = 131_072
PACKET_NS = 20 * MS


def timespec(nanoseconds: int) -> bytes:
    return TIMESPEC.pack(*divmod(nanoseconds, SECOND))


class Slot:
    """A slot of rows that a test fills."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, SLOT_BYTES)
        self.words = np.frombuffer(self.memory, np.uint64, 32)
        self.sent = 0
        self.tos = 0

    def row(
        self,
        number: int,
        round_trip_ns: int | None = 5 * MS,
        source_delay_ns: int = 0,
        residence_ns: int = 100_000,
        sequence: int | None = None,
        epoch: int = 1,
        timestamp: int | None = None,
        marker: int = 0,
        payload_type: int = 0,
        echo_count: int = 0,
        echo_residence_ns: int = 0,
    ) -> None:
        """Packet `number` of a 20 ms stream."""
        index = FIRST_INDEX * epoch + (number if sequence is None else sequence)
        arrived = T0 + number * PACKET_NS + source_delay_ns
        sent = arrived + residence_ns // 2
        returned = sent + (round_trip_ns or 0)
        left = returned + residence_ns - residence_ns // 2
        row = HEADER_BYTES + index % ROWS_PER_SLOT * ROW_BYTES
        stamp = (number * 160 if timestamp is None else timestamp) & 0xFFFFFFFF
        second = marker << 7 | payload_type
        self.sent += 1
        ordinal = self.sent & 0xFFFF
        tos = bytes((self.tos,))
        departure = (timespec(arrived), sent, 7, stamp, epoch, second, tos, 172, ordinal, index)
        DEPARTURE.pack_into(self.memory, row, *departure)
        ECHO_MEASURED.pack_into(self.memory, row + ECHO_MEASURED_OFFSET, echo_count, echo_residence_ns)
        if round_trip_ns is not None:
            ANSWER.pack_into(self.memory, row + ANSWER_OFFSET, timespec(returned), left)
        if epoch > self.words[Word.EPOCH]:
            self.words[Word.EPOCH], self.words[Word.FIRST_INDEX] = epoch, index

    def statistics(self, clock: WallClock | None = None) -> StreamStatistics:
        spans = (clock or WallClock()).spans_step
        return StreamStatistics(RowReader(self.memory, 0), 8000, 3 * MS, spans, lambda _r, _s: None)


def after(packets: int, seconds: float = 10) -> int:
    return T0 + packets * PACKET_NS + round(seconds * SECOND)

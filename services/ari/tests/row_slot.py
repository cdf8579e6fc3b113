"""A slot of rows that a test fills, packet by packet, as a media process would."""

from __future__ import annotations

import mmap
from collections.abc import Callable

import numpy as np

from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.media.clock_readings import ClockReading
from rtppool_relay.media.rows import RAW_UNIT_NS, RAW_UNITS, UNKNOWN_CPU, WRITTEN_DTYPE, Word, slot_offset
from rtppool_relay.media.sizes import HEADER_BYTES, ROWS_PER_SLOT, SLOT_BYTES
from rtppool_relay.streams.row_reader import RowReader, RowRings
from rtppool_relay.streams.statistics import StreamStatistics
from rtppool_relay.streams.steady_clock import SteadyClock

MS = 1_000_000
SECOND = 1_000 * MS
T0 = 1_700_000_000 * SECOND
FIRST_INDEX = 131_072
PACKET_NS = 20 * MS


class Slot:
    """A slot of rows that a test fills. `wall` converts CLOCK_MONOTONIC_RAW to the wall clock, in ns.

    Slots that are collected together have a number each in one memory of `memory_for`.
    """

    def __init__(
        self, wall: Callable[[int], int] = lambda raw_ns: raw_ns, memory: mmap.mmap | None = None, number: int = 0
    ) -> None:
        self.wall = wall
        self.memory = memory or memory_for(1)
        self.number = number
        offset = slot_offset(number)
        self.words = np.frombuffer(self.memory, np.uint64, 32, offset)
        self.rows = np.frombuffer(self.memory, WRITTEN_DTYPE, ROWS_PER_SLOT, offset + HEADER_BYTES)
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
        **more: int,
    ) -> None:
        """Packet `number` of a 20 ms stream. `more` are further fields by their names in a row."""
        index = FIRST_INDEX * epoch + (number if sequence is None else sequence)
        arrived = T0 + number * PACKET_NS + source_delay_ns
        sent = arrived + residence_ns // 2
        returned = sent + (round_trip_ns or 0)
        left = returned + residence_ns - residence_ns // 2
        self.sent += 1
        row = self.rows[index % ROWS_PER_SLOT]
        row["a_seconds"], row["a_nanoseconds"] = divmod(self.wall(arrived), SECOND)
        row["x"], row["ssrc"], row["epoch"], row["bytes"], row["tos"] = self.wall(sent), 7, epoch, 172, self.tos
        row["x_raw"] = sent // RAW_UNIT_NS % RAW_UNITS
        row["timestamp"] = (number * 160 if timestamp is None else timestamp) & 0xFFFFFFFF
        row["second_byte"] = marker << 7 | payload_type
        row["ordinal"] = self.sent & 0xFFFF
        row["echo_count"], row["echo_residence_ns"] = echo_count, echo_residence_ns
        row["echo_host"] = row["echo_is_local"] = 0
        row["x_cpu"] = row["r_cpu"] = row["y_cpu"] = UNKNOWN_CPU
        for name, value in more.items():
            row[name] = value
        row["r_seconds"], row["r_nanoseconds"], row["y"] = 0, 0, 0
        row["index"] = index
        if round_trip_ns is not None:
            row["r_seconds"], row["r_nanoseconds"] = divmod(self.wall(returned), SECOND)
            row["y_raw"] = left // RAW_UNIT_NS % RAW_UNITS
            row["y"] = self.wall(left)
        if epoch > self.words[Word.EPOCH]:
            self.words[Word.EPOCH], self.words[Word.FIRST_INDEX] = epoch, index

    def reading(self, raw_ns: int) -> ClockReading:
        return ClockReading(self.wall(raw_ns), raw_ns)

    def statistics(self, clock: SteadyClock | None = None, rings: RowRings | None = None) -> StreamStatistics:
        reader = RowReader(rings or RowRings(self.memory), self.number)
        return StreamStatistics(reader, 8000, 3 * MS, clock or SteadyClock())


def memory_for(slots: int) -> mmap.mmap:
    return mmap.mmap(-1, slots * SLOT_BYTES)


def after(packets: int, seconds: float = 10) -> int:
    return T0 + packets * PACKET_NS + round(seconds * SECOND)


def collect(measurement: Measurement, now_ns: int, monotonic_ns: int) -> None:
    """Collect all streams, as a relay does every second."""
    for portion in measurement.portions():
        measurement.collect_portion(portion, now_ns)
    measurement.judge_echo(monotonic_ns)

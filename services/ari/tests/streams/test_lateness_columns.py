"""Lateness over columns of many streams, against the same one stream after the other and over plain lists."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from row_slot import MS, PACKET_NS, SECOND, T0

from rtppool_relay.streams.columns import StreamSpans
from rtppool_relay.streams.histories import CAPACITY, Histories
from rtppool_relay.streams.lateness import BASELINE_NS, LatenessBaseline, measure_lateness

RATE_HZ, TICKS = 8000, 160
# Of each packet, in µs: how late it came, and its round trip. With the drift of 4 s at 60 ppm that moves the level by
# less than half of the threshold: more would be a step.
PACKETS = st.lists(st.tuples(st.integers(0, 1200), st.integers(50, 60_000)), min_size=1, max_size=60)
CALLS = st.lists(st.tuples(PACKETS, st.integers(-60, 60), st.integers(1, 50)), min_size=1, max_size=4)


class OneByOne:
    """The baselines of one stream without a step, over all its packets so far. Its skew is that of `baseline`."""

    def __init__(self, baseline: LatenessBaseline) -> None:
        self._baseline = baseline
        self._packets: list[tuple[int, int, int]] = []

    def measure(self, packets: list[tuple[int, int, int]]) -> tuple[list[int], list[int], list[int]]:
        """Return source excess, variation and echo excess of arrivals, transits and round trips."""
        self._packets += packets
        now = packets[-1][0]
        kept = [packet for packet in self._packets if packet[0] >= now - BASELINE_NS]
        skew, count = self._baseline.skew, len(packets)
        ways = [skew.ppm or 0.0] + ([skew.provisional_ppm] if skew.ppm is None else [])
        compared = [[transit - int((at - now) * (ppm * 1e-6)) for at, transit, _ in kept] for ppm in ways]
        sources = [[each - nearest_rank(way, 5) for each in way[-count:]] for way in compared]
        variations = [[each - min(way) for each in way[-count:]] for way in compared]
        echo = nearest_rank([round_trip for *_, round_trip in kept], 50)
        return (
            [min(each) for each in zip(*sources, strict=True)],
            [min(each) for each in zip(*variations, strict=True)],
            [round_trip - echo for *_, round_trip in packets],
        )


def nearest_rank(values: list[int], per_cent: int) -> int:
    return sorted(values)[math.ceil(per_cent * len(values) / 100) - 1]


@given(CALLS, st.integers(1, 60), st.sampled_from([40, CAPACITY]))
def test_excess_over_columns_is_that_of_each_stream_alone(
    calls: list[tuple[list[tuple[int, int]], int, int]], seconds: int, capacity: int
) -> None:
    """Each second has the packets of a list over again, and each call another skew and another number of them.

    Streams that do not fit into the histories that all share get histories of their own.
    """
    shared = Histories(len(calls), capacity)
    baselines = [LatenessBaseline(RATE_HZ, 3 * MS, shared, row) for row in range(len(calls))]
    alone = [OneByOne(baseline) for baseline in baselines]
    for second in range(0, seconds, max(1, seconds // 15)):
        columns: list[list[tuple[int, int, int]]] = []
        for packets, ppm, number in calls:
            numbers = [second * 50 + each for each in range(number)]
            facts = [(each, *packets[each % len(packets)]) for each in numbers]
            columns.append(
                [
                    (
                        T0 + each * PACKET_NS + each * PACKET_NS * ppm // 10**6 + late_us * 1000,
                        each,
                        round_trip_us * 1000,
                    )
                    for each, late_us, round_trip_us in facts
                ]
            )
        owners = np.repeat(np.arange(len(columns)), [len(column) for column in columns])
        arrivals, numbers_sent, round_trips = np.array([row for column in columns for row in column], np.int64).T
        timestamps = numbers_sent * TICKS & 0xFFFF_FFFF
        found = measure_lateness(
            baselines, StreamSpans(owners), arrivals, timestamps, np.zeros(owners.size, np.bool_), round_trips
        )
        for at, (column, one) in enumerate(zip(columns, alone, strict=True)):
            own = owners == at
            origin = baselines[at].ticks - column[-1][1] * TICKS
            expected = one.measure(
                [
                    (at_ns, at_ns - (each * TICKS + origin) * SECOND // RATE_HZ, round_trip)
                    for at_ns, each, round_trip in column
                ]
            )
            assert found.source_ns[own].tolist() == expected[0]
            assert found.variation_ns[own].tolist() == expected[1]
            assert found.echo_ns[own].tolist() == expected[2]

"""The packets of many streams in shared rings, against plain lists of each stream."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.streams.histories import Histories

CAPACITY, ROWS = 12, 3
# Of each step: the packets of each row as (arrival, transit, round trip), and the time before which all are forgotten.
PACKET = st.tuples(st.integers(0, 40), st.integers(-500, 500), st.integers(0, 900))
STEPS = st.lists(st.tuples(st.lists(st.lists(PACKET, max_size=4), min_size=ROWS, max_size=ROWS), st.integers(0, 6)))


def nearest_rank(values: list[int], per_cent: int) -> int:
    return sorted(values)[math.ceil(per_cent * len(values) / 100) - 1]


@given(STEPS, st.integers(1, 99))
def test_percentiles_of_rings_are_those_of_lists(
    steps: list[tuple[list[list[tuple[int, int, int]]], int]], per_cent: int
) -> None:
    histories, lists = Histories(ROWS, CAPACITY), [[] for _ in range(ROWS)]
    for row in range(ROWS):
        histories.begin(row)
    rows = np.arange(ROWS)
    for number, (columns, forgotten) in enumerate(steps):
        # Arrivals ascend from step to step.
        packets = [[(at + 50 * number, transit, trip) for at, transit, trip in sorted(each)] for each in columns]
        before = np.full(ROWS, 50 * (number - forgotten))
        histories.expire(rows, before)
        lists = [[each for each in row if each[0] >= before[0]] for row in lists]
        counts = np.array([len(each) for each in packets])
        fits = histories.has_room(rows, counts)
        assert fits.tolist() == [len(kept) + len(each) <= CAPACITY for kept, each in zip(lists, packets, strict=True)]
        chosen = rows[fits]
        added = [(*packet, 0) for row in chosen.tolist() for packet in packets[row]]
        histories.add(chosen, counts[fits], np.array(added, np.int64).reshape(-1, 4).T)
        for row in chosen.tolist():
            lists[row] += packets[row]
        filled = np.array([row for row in range(ROWS) if lists[row]], np.int64)
        if filled.size:
            plain = np.zeros(filled.size)
            lows, shortest = histories.source_baselines(filled, np.zeros(filled.size, np.int64), plain, per_cent)
            trips = histories.echo_baselines(filled, per_cent)
            transits = [[transit for _, transit, _ in lists[row]] for row in filled.tolist()]
            assert lows.tolist() == [nearest_rank(each, per_cent) for each in transits]
            assert shortest.tolist() == [min(each) for each in transits]
            assert trips.tolist() == [nearest_rank([trip for *_, trip in lists[row]], per_cent) for row in filled]


def test_a_new_anchor_hides_earlier_transits_and_keeps_round_trips() -> None:
    histories, row = Histories(1, CAPACITY), np.zeros(1, np.int64)
    histories.begin(0)
    histories.add(row, np.array([4]), np.array([[1, 2, 3, 4], [10, 20, 30, 40], [5, 6, 7, 8], [0, 0, 0, 0]]))
    histories.anchor(0, packets_back=2)
    lows, shortest = histories.source_baselines(row, np.zeros(1, np.int64), np.zeros(1), 50)
    assert (lows.tolist(), shortest.tolist()) == ([30], [30])
    assert histories.echo_baselines(row, 100).tolist() == [8]
    assert histories.window(0).transits.tolist() == [30, 40]


def test_a_longer_ring_has_the_same_packets() -> None:
    histories, row = Histories(2, CAPACITY), np.ones(1, np.int64)
    histories.begin(1)
    histories.add(row, np.array([3]), np.array([[1, 2, 3], [10, 20, 30], [5, 6, 7], [0, 0, 9]]))
    histories.anchor(1, packets_back=2)
    longer = histories.copy_row(1, 2 * CAPACITY)
    assert longer.window(0, 0).arrivals.tolist() == [1, 2, 3]
    assert longer.window(0).transits.tolist() == [20, 30]
    assert longer.slewed_window(0) is not None

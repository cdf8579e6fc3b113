"""The references themselves: examples of RFC 3550 and RFC 4737 (section 7), and a search through all arrivals."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import REMEMBERED_PACKETS, Jitter, ReorderedPacket, Reordering

Arrival = tuple[int, int]
# Sequence number and arrival in ms, as the tables of section 7 have them.
ONE_LATE = [(1, 68), (2, 88), (3, 108), (5, 148), (6, 168), (7, 188), (8, 208), (4, 210), (9, 228), (10, 248)]
ONE_EARLY = [(1, 68), (2, 88), (3, 108), (4, 128), (7, 188), (5, 189), (6, 190), (8, 208), (9, 228), (10, 248)]
THREE_LATE = [
    *[(1, 68), (2, 88), (3, 108), (7, 188), (8, 208), (9, 228), (10, 248)],
    *[(4, 250), (5, 252), (6, 256), (11, 268)],
]
TWO_PLACES = [(s, at) for at, s in enumerate([1, 2, 3, 6, 7, 4, 5, 8, 9, 10, 12, 13, 11, 14, 15, 16])]


def reordered(arrivals: Sequence[Arrival], stream: Reordering | None = None) -> dict[int, ReorderedPacket]:
    stream = stream or Reordering()
    found = {sequence: stream.update(sequence, at) for sequence, at in arrivals}
    return {sequence: packet for sequence, packet in found.items() if packet is not None}


def test_published_vector_7_1_of_one_late_packet() -> None:
    assert reordered(ONE_LATE) == {4: ReorderedPacket(extent=4, late_time_ns=62, n=4)}


def test_published_vector_7_2_of_one_early_packet() -> None:
    assert reordered(ONE_EARLY) == {
        5: ReorderedPacket(extent=1, late_time_ns=1, n=1),
        6: ReorderedPacket(extent=2, late_time_ns=2, n=0),
    }


def test_published_vector_7_3_of_three_late_packets() -> None:
    assert reordered(THREE_LATE) == {
        4: ReorderedPacket(extent=4, late_time_ns=62, n=4),
        5: ReorderedPacket(extent=5, late_time_ns=64, n=0),
        6: ReorderedPacket(extent=6, late_time_ns=68, n=0),
    }


def test_published_vector_7_4_of_reordering_at_two_places() -> None:
    stream = Reordering()
    found = reordered(TWO_PLACES, stream)
    assert {sequence: packet.extent for sequence, packet in found.items()} == {4: 2, 5: 3, 11: 2}
    assert {sequence: packet.gap for sequence, packet in found.items()} == {4: None, 5: None, 11: 7}
    assert stream.ratio == 3 / 16 == 0.1875


def test_lost_packets_are_no_reordering() -> None:
    assert reordered([(1, 0), (5, 1), (6, 2), (100, 3)]) == {}


def test_a_copy_is_neither_received_nor_reordered_again() -> None:
    stream = Reordering()
    found = [stream.update(sequence, at) for at, sequence in enumerate((1, 3, 2, 2, 3, 1))]
    assert [packet is not None for packet in found] == [False, False, True, False, False, False]
    assert (stream.received, stream.reordered) == (3, 1)


def test_without_packets_there_is_no_ratio() -> None:
    stream = Reordering()
    assert (stream.ratio, stream.max_extent, stream.max_late_time_ns, stream.max_n) == (None, None, None, None)


def test_what_is_remembered_is_bounded() -> None:
    stream = Reordering()
    for sequence in range(1, 10 * REMEMBERED_PACKETS):
        stream.update(sequence, sequence)
    assert max(len(stream._raising), len(stream._recent), len(stream._known)) == REMEMBERED_PACKETS
    late = stream.update(0, 10 * REMEMBERED_PACKETS)
    assert late is not None
    assert late.extent == REMEMBERED_PACKETS


def by_search(arrivals: Sequence[Arrival]) -> dict[int, tuple[int, int, int]]:
    """Extent, late time and n of every reordered packet, as the definitions read."""
    found = {}
    for i, (sequence, at) in enumerate(arrivals):
        earlier = arrivals[:i]
        if not any(other > sequence for other, _ in earlier):
            continue
        j = next(j for j, (other, _) in enumerate(earlier) if other > sequence)
        n = max(n for n in range(i + 1) if all(other > sequence for other, _ in arrivals[i - n : i]))
        found[sequence] = (i - j, at - arrivals[j][1], n)
    return found


@given(st.permutations(range(30)), st.sets(st.integers(0, 29)), st.lists(st.integers(0, 50), min_size=30, max_size=30))
def test_every_figure_is_that_of_a_search_through_all_arrivals(
    order: list[int], lost: set[int], pauses: list[int]
) -> None:
    arrived = [sequence for sequence in order if sequence not in lost]
    arrivals = [(sequence, sum(pauses[: at + 1])) for at, sequence in enumerate(arrived)]
    stream = Reordering()
    found = reordered(arrivals, stream)
    expected = by_search(arrivals)
    assert {s: (p.extent, p.late_time_ns, p.n) for s, p in found.items()} == expected
    assert (stream.received, stream.reordered) == (len(arrived), len(expected))
    assert stream.max_extent == max((extent for extent, _, _ in expected.values()), default=None)
    assert stream.max_late_time_ns == max((late for _, late, _ in expected.values()), default=None)
    assert stream.max_n == max((n for _, _, n in expected.values()), default=None)


def jitter_of(arrivals_ms: list[float], timestamps: list[int]) -> list[float]:
    jitter = Jitter()
    found = []
    for arrival, timestamp in zip(arrivals_ms, timestamps, strict=True):
        jitter.update(round(arrival * 1e6), timestamp)
        found.append(jitter.ticks)
    return found


def test_worked_example_of_jitter() -> None:
    ticks = jitter_of([0, 20, 41, 60, 85, 100], [160 * at for at in range(6)])
    assert ticks[-1] == pytest.approx(5.69519, abs=1e-5)
    assert (int(ticks[-1]), int(16 * ticks[-1])) == (5, 91)


def test_published_vector_of_wireshark() -> None:
    ticks = jitter_of([348.411, 418.358, 421.891], [1240, 1400, 1560])
    assert [value / 8 for value in ticks[1:]] == pytest.approx([3.1216875, 3.95576953125])


def test_published_vector_of_a_packet_10_ms_late() -> None:
    ticks = jitter_of([0, 30, 50], [0, 160, 320])[1:]
    assert [16 * value for value in ticks] == [80, 75]
    assert [int(value) for value in ticks] == [5, 4]


def test_jitter_does_not_notice_the_wrap_of_the_timestamp() -> None:
    start = 0xFFFF_FFFF - 200
    wrapping = jitter_of([0, 20, 41, 60], [(start + 160 * at) & 0xFFFF_FFFF for at in range(4)])
    assert wrapping == jitter_of([0, 20, 41, 60], [160 * at for at in range(4)])


def test_a_restart_keeps_the_estimate_and_forgets_the_packet() -> None:
    jitter = Jitter()
    jitter.update(0, 0)
    jitter.update(30_000_000, 160)
    before = jitter.ticks
    jitter.restart()
    jitter.update(10**12, 5)
    assert jitter.ticks == before == 5.0
    assert jitter.microseconds == pytest.approx(625)


def test_the_clock_rate_counts() -> None:
    wideband = Jitter(clock_rate_hz=16_000)
    wideband.update(0, 0)
    wideband.update(30_000_000, 320)
    assert wideband.microseconds == pytest.approx(625)

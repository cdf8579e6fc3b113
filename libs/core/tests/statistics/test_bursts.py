"""RFC 3611 section 4.7.2 by its definition: the printed pattern with corrected numbers, and a search as the oracle."""

from __future__ import annotations

from itertools import groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.statistics.bursts import GMIN, BurstCounts, BurstTracker, density

# The pattern of RFC 3611 4.7.2; it has 63 packets, not the 64 that the text says.
PRINTED = {4, 23, 27, 29, 34, 53}
PRINTED_PACKETS = 63
PACKET_NS = 10_000_000


def runs_of(lost: set[int]) -> list[tuple[int, int]]:
    ordered = sorted(lost)
    groups = groupby(enumerate(ordered), key=lambda each: each[1] - each[0])
    return [(run[0][1], run[-1][1]) for _, each in groups if (run := list(each))]


def counted(lost: set[int], packets: int, first: int = 0) -> BurstCounts:
    tracker, total = BurstTracker(first, PACKET_NS), BurstCounts()
    for start, end in runs_of(lost):
        total.add(tracker.lost(first + start, first + end))
    total.add(tracker.end(first + packets - 1))
    return total


def test_the_printed_pattern_has_one_burst_of_12_with_4_lost_and_two_gaps_of_51_together() -> None:
    total = counted(PRINTED, PRINTED_PACKETS)
    assert (total.bursts, total.burst_packets, total.burst_lost) == (1, 12, 4)
    assert (total.gaps, total.gap_packets, total.lost - total.burst_lost) == (2, 51, 2)
    assert (total.burst_density(), total.gap_density(PRINTED_PACKETS)) == (85, 10)
    assert (total.mean_burst_ns(), total.mean_gap_ns()) == (120_000_000, 255_000_000)


def test_a_single_loss_is_no_burst() -> None:
    total = counted({10}, 100)
    assert (total.bursts, total.gaps, total.gap_packets, total.lost) == (0, 1, 100, 1)
    assert (total.burst_density(), total.mean_burst_ns()) == (None, None)
    assert total.gap_density(100) == 2


@pytest.mark.parametrize(("good_between", "bursts"), [(GMIN - 1, 1), (GMIN, 0)])
def test_two_losses_are_a_burst_when_fewer_than_16_good_packets_part_them(good_between: int, bursts: int) -> None:
    assert counted({20, 21 + good_between}, 100).bursts == bursts


def test_a_run_of_losses_is_a_burst_of_density_255_and_nothing_lost_has_no_density_but_the_gaps() -> None:
    assert counted(set(range(10, 20)), 100).burst_density() == 255
    assert counted(set(), 100).gap_density(100) == 0
    assert density(0, 0) is None


def test_losses_at_both_ends_leave_no_empty_gaps() -> None:
    total = counted({0, 1, 98, 99}, 100)
    assert (total.bursts, total.gaps, total.gap_packets) == (2, 1, 96)
    assert counted(set(range(50)), 50).gaps == 0


def test_without_loss_all_of_the_stream_is_one_gap() -> None:
    assert counted(set(), 100) == BurstCounts(gaps=1, gap_packets=100, gap_ns=100 * PACKET_NS)
    assert BurstCounts().mean_gap_ns() is None


def test_burst_ratio_is_the_mean_run_over_that_of_random_loss() -> None:
    total = counted({10, 11, 40, 41}, 100)
    assert total.burst_ratio(100) == pytest.approx(2 * 0.96)
    assert counted({10, 40}, 100).burst_ratio(100) == 1, "sparser than chance counts as chance"
    assert BurstCounts().burst_ratio(100) == 1
    assert counted(set(range(5)), 5).burst_ratio(5) == 1


def by_search(lost: set[int], packets: int) -> tuple[int, int, int, int, int]:
    """Bursts, their packets, their losses, gaps and their packets: every packet coloured as the definition reads."""
    ordered = sorted(lost)
    in_burst = [False] * packets
    for before, after in pairwise(ordered):
        if after - before - 1 < GMIN:
            for at in range(before, after + 1):
                in_burst[at] = True
    regions = [(colour, [at for at, _ in each]) for colour, each in groupby(enumerate(in_burst), key=lambda e: e[1])]
    bursts = [each for colour, each in regions if colour]
    gaps = [each for colour, each in regions if not colour]
    return (
        len(bursts),
        sum(map(len, bursts)),
        sum(at in lost for each in bursts for at in each),
        len(gaps),
        sum(map(len, gaps)),
    )


@given(st.sets(st.integers(0, 199), max_size=60), st.integers(200, 240), st.integers(0, 1 << 40))
def test_bursts_and_gaps_are_those_of_a_search_wherever_the_stream_begins(
    lost: set[int], packets: int, first: int
) -> None:
    total = counted(lost, packets, first)
    found = (total.bursts, total.burst_packets, total.burst_lost, total.gaps, total.gap_packets)
    assert found == by_search(lost, packets)
    assert (total.lost, total.runs) == (len(lost), len(runs_of(lost)))
    assert (total.burst_ns, total.gap_ns) == (total.burst_packets * PACKET_NS, total.gap_packets * PACKET_NS)


@given(st.sets(st.integers(0, 199), max_size=120), st.integers(200, 240))
def test_densities_and_burst_ratio_are_those_of_their_definitions(lost: set[int], packets: int) -> None:
    total = counted(lost, packets)
    _, burst_packets, burst_lost, _, gap_packets = by_search(lost, packets)
    in_256 = [
        min(255, 256 * bad // whole) if whole else None
        for bad, whole in ((burst_lost, burst_packets), (len(lost) - burst_lost, gap_packets))
    ]
    assert [total.burst_density(), total.gap_density(packets)] == in_256
    # G.107 7.5: the mean run of losses over the mean under random loss, which is 1 / (1 - p).
    lengths = [end - start + 1 for start, end in runs_of(lost)]
    random_mean = packets / (packets - len(lost))
    observed = sum(lengths) / len(lengths) if lengths else random_mean
    assert total.burst_ratio(packets) == pytest.approx(max(1.0, observed / random_mean))


@given(st.sets(st.integers(0, 99), max_size=40))
def test_losses_told_one_by_one_count_as_those_told_by_runs(lost: set[int]) -> None:
    tracker, total = BurstTracker(0, PACKET_NS), BurstCounts()
    for at in sorted(lost):
        total.add(tracker.lost(at, at))
    total.add(tracker.end(99))
    assert total == counted(lost, 100)

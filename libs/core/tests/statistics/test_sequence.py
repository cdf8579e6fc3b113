from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.statistics.sequence import Jitter, SequenceTracker, Validity, loss_fraction_256


def after(*sequences: int) -> SequenceTracker:
    tracker = SequenceTracker()
    for sequence in sequences:
        tracker.update(sequence)
    return tracker


def test_a_source_is_valid_after_two_consecutive_numbers() -> None:
    tracker = SequenceTracker()
    assert [tracker.update(s) for s in (7, 8, 9)] == [Validity.PROBATION, Validity.VALID, Validity.VALID]
    assert (tracker.base, tracker.received, tracker.expected) == (8, 2, 2)


def test_two_numbers_that_do_not_follow_each_other_start_probation_again() -> None:
    tracker = SequenceTracker()
    assert [tracker.update(s) for s in (7, 20, 30, 31)] == [Validity.PROBATION] * 3 + [Validity.VALID]


def test_probation_goes_across_the_wrap() -> None:
    tracker = SequenceTracker()
    assert [tracker.update(s) for s in (65535, 0)] == [Validity.PROBATION, Validity.VALID]


def test_worked_example_of_a_wrap() -> None:
    tracker = after(65534, 65535, 0, 1)
    assert (tracker.base, tracker.cycles, tracker.extended_highest) == (65535, 65536, 65537)
    assert (tracker.expected, tracker.received, tracker.lost) == (3, 3, 0)


def test_worked_example_of_loss() -> None:
    arrived = [65529, 65530, *range(65531, 65536), *range(10)]
    arrived.remove(65533)
    arrived.remove(4)
    tracker = after(*arrived)
    assert (tracker.base, tracker.highest, tracker.received) == (65530, 9, 14)
    assert (tracker.expected, tracker.lost) == (16, 2)
    assert loss_fraction_256(tracker.expected, tracker.lost) == 32


@pytest.mark.parametrize(
    ("expected", "lost", "fraction"), [(10, 1, 25), (0, 0, 0), (10, 0, 0), (10, -3, 0), (10, 10, 256), (3, 1, 85)]
)
def test_the_fraction_lost_is_in_256ths_and_never_negative(expected: int, lost: int, fraction: int) -> None:
    assert loss_fraction_256(expected, lost) == fraction


def test_published_vector_of_a_wrap_without_loss() -> None:
    tracker = after(*range(65530, 65536), *range(4))
    assert (tracker.lost, tracker.highest, tracker.cycles) == (0, 3, 65536)


def test_published_vector_of_one_lost_in_ten() -> None:
    tracker = after(0, *(number for number in range(1, 11) if number != 5))
    assert (tracker.expected, tracker.lost, loss_fraction_256(tracker.expected, tracker.lost)) == (10, 1, 25)


def test_duplicates_make_lost_negative() -> None:
    assert after(1, 2, 3, 3, 3).lost == -2


def test_a_dropout_of_less_than_3000_is_loss() -> None:
    tracker = after(1, 2)
    assert tracker.update(2 + 2999) is Validity.VALID
    assert (tracker.expected, tracker.lost) == (3000, 2998)


@pytest.mark.parametrize("jump", [3000, 65536 - 101])
def test_a_jump_is_bad_until_the_next_number_confirms_it(jump: int) -> None:
    tracker = after(1, 2)
    there = (2 + jump) % 65536
    assert tracker.update(there) is Validity.BAD
    assert tracker.highest == 2
    assert tracker.update((there + 1) % 65536) is Validity.RESTARTED
    assert (tracker.base, tracker.received, tracker.expected) == ((there + 1) % 65536, 1, 1)


def test_100_numbers_back_is_a_jump_and_99_is_a_late_packet() -> None:
    assert after(1000, 1001).update(901) is Validity.BAD
    assert after(1000, 1001).update(902) is Validity.VALID


def test_two_jumps_to_different_places_restart_nothing() -> None:
    tracker = after(1, 2)
    assert [tracker.update(s) for s in (20_000, 40_000, 3)] == [Validity.BAD, Validity.BAD, Validity.VALID]


def test_a_reordered_packet_is_received_and_leaves_the_highest() -> None:
    tracker = after(100, 101, 103, 102, 104)
    assert (tracker.highest, tracker.received, tracker.lost) == (104, 4, 0)


@given(st.integers(0, 65535), st.integers(2, 400), st.sets(st.integers(2, 399)))
def test_loss_is_what_was_left_out_wherever_the_stream_starts(start: int, packets: int, missing: set[int]) -> None:
    last = packets - 1
    left_out = {at for at in missing if at < last}
    tracker = after(*((start + at) % 65536 for at in range(packets) if at not in left_out))
    assert tracker.lost == len(left_out)
    assert tracker.received == packets - 1 - len(left_out)


@given(st.integers(0, 65535), st.lists(st.integers(0, 30), min_size=3, max_size=300), st.sets(st.integers(3, 299)))
def test_loss_is_that_of_a_set_of_numbers_for_any_order_and_copies(
    start: int, delays: list[int], missing: set[int]
) -> None:
    order = sorted((at + delay, at) for at, delay in enumerate(delays) if at not in missing)
    arrived = [start - 2, start - 1, *(start + at for _, at in order)]
    tracker = after(*(sequence % 65536 for sequence in arrived))
    counted = arrived[1:]
    assert tracker.expected == max(counted) - counted[0] + 1
    assert tracker.lost == tracker.expected - len(counted)


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

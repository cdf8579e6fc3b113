"""A caller's own round trips."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_callgen.stand_in.round_trips import MAX_PENDING, RoundTrips


@given(st.lists(st.integers(1_100, 10_000_000), min_size=1, max_size=400), st.integers(0, 0xFFFF))
def test_every_answered_packet_is_one_round_trip_also_across_the_wrap(took_ns: list[int], first: int) -> None:
    trips = RoundTrips()
    for number, took in enumerate(took_ns):
        sequence = (first + number) & 0xFFFF
        trips.sent(sequence, number * 20_000_000)
        trips.returned(sequence, number * 20_000_000 + took)
    assert trips.histogram.count == len(took_ns)
    assert (trips.histogram.min_ns, trips.histogram.max_ns) == (min(took_ns), max(took_ns))


def test_a_copy_is_not_measured_again() -> None:
    trips = RoundTrips()
    trips.sent(7, 1_000)
    trips.returned(7, 201_000)
    trips.returned(7, 901_000)
    assert (trips.histogram.count, trips.histogram.max_ns) == (1, 200_000)


def test_what_was_never_sent_is_not_measured() -> None:
    trips = RoundTrips()
    trips.returned(0, 1_000)
    trips.sent(1, 1_000)
    trips.returned(1 + MAX_PENDING, 2_000)
    assert trips.histogram.count == 0


def test_a_clock_that_stepped_back_gives_no_round_trip() -> None:
    trips = RoundTrips()
    trips.sent(1, 5_000)
    trips.returned(1, 4_000)
    assert trips.histogram.count == 0

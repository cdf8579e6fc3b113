from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_echo.rules.received_counts import ReceivedCounts


@given(st.integers(1, 6), st.lists(st.binary(min_size=1, max_size=1), max_size=200))
def test_counts_are_those_of_a_list_that_forgets_whom_it_heard_least_recently(most: int, streams: list[bytes]) -> None:
    counts = ReceivedCounts(most)
    known: list[list[bytes]] = []
    for stream in streams:
        heard = next((packets for packets in known if packets[0] == stream), [])
        known = [packets for packets in known if packets is not heard] + [[*heard, stream]]
        known = known[-most:]
        assert counts.count(stream) == len(known[-1])
        assert len(counts) == len(known) <= most


def test_the_count_begins_at_1_and_turns_over_with_its_32_bits() -> None:
    counts = ReceivedCounts()
    assert counts.count(b"a") == 1
    counts._counts[b"a"] = 2**32 - 1
    assert [counts.count(b"a") for _ in range(2)] == [0, 1]

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtppool_echo.reflector.compiled import compiled
from rtppool_echo.rules import received_counts
from rtppool_echo.rules.sender_table import COUNT, KEY_WORDS, VALUE, begin_table, entry_at, table_words

_count: Any = compiled(received_counts.count)


class Counts:
    """The table of streams, which are known by one number here."""

    def __init__(self, most: int = 8) -> None:
        self.table = np.zeros(table_words(most), np.int64)
        begin_table(self.table, most)

    def count(self, stream: int) -> int:
        key = np.full(KEY_WORDS, stream + 1, np.int64)
        return int(_count(self.table, key, 0))


@given(st.integers(1, 6), st.lists(st.integers(0, 9), max_size=200))
def test_counts_are_those_of_a_list_that_forgets_whom_it_heard_least_recently(most: int, streams: list[int]) -> None:
    counts = Counts(most)
    known: list[list[int]] = []
    for stream in streams:
        heard = next((packets for packets in known if packets[0] == stream), [])
        known = [packets for packets in known if packets is not heard] + [[*heard, stream]]
        known = known[-most:]
        assert counts.count(stream) == len(known[-1])
        assert counts.table[COUNT] == len(known) <= most


def test_the_count_begins_at_1_and_turns_over_with_its_32_bits() -> None:
    counts = Counts()
    assert counts.count(0) == 1
    counts.table[entry_at(counts.table, 0) + VALUE] = 2**32 - 1
    assert [counts.count(0) for _ in range(2)] == [0, 1]

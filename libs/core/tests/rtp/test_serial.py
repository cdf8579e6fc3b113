from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.rtp.serial import extend_sequence, sequence_difference, timestamp_difference

SEQUENCES = st.integers(0, 0xFFFF)
TIMESTAMPS = st.integers(0, 0xFFFF_FFFF)


@pytest.mark.parametrize(
    ("newer", "older", "difference"),
    [(1, 0, 1), (0, 1, -1), (0, 65535, 1), (65535, 0, -1), (3, 65530, 9), (32767, 0, 32767), (32768, 0, -32768)],
)
def test_a_step_across_the_wrap_of_sequence_numbers_is_ordinary(newer: int, older: int, difference: int) -> None:
    assert sequence_difference(newer, older) == difference


@pytest.mark.parametrize(
    ("newer", "older", "difference"),
    # The last two: +20 ms and -12 ms at 8000 Hz.
    [(160, 0, 160), (0, 160, -160), (0x8000_0000, 0, -(1 << 31)), (0, 0xFFFFFF60, 160), (0xFFFFFF00, 0xFFFFFF60, -96)],
)
def test_a_step_across_the_wrap_of_timestamps_is_ordinary(newer: int, older: int, difference: int) -> None:
    assert timestamp_difference(newer, older) == difference


@given(SEQUENCES, st.integers(-32768, 32767))
def test_a_sequence_difference_undoes_an_addition(sequence: int, step: int) -> None:
    assert sequence_difference((sequence + step) & 0xFFFF, sequence) == step


@given(TIMESTAMPS, st.integers(-(1 << 31), (1 << 31) - 1))
def test_a_timestamp_difference_undoes_an_addition(timestamp: int, step: int) -> None:
    assert timestamp_difference((timestamp + step) & 0xFFFF_FFFF, timestamp) == step


@given(st.integers(0, 1 << 40), st.integers(-32768, 32767))
def test_an_extended_number_is_the_nearest_one_with_the_same_low_bits(highest: int, step: int) -> None:
    assert extend_sequence((highest + step) & 0xFFFF, highest) == highest + step


def test_the_first_packets_of_a_stream_out_of_order_are_below_zero() -> None:
    assert extend_sequence(65535, 0) == -1


def test_three_turns_of_the_sequence_number_stay_in_order() -> None:
    highest = 65_500
    for sequence in range(65_500, 65_500 + 3 * 65_536, 997):
        assert extend_sequence(sequence & 0xFFFF, highest) == sequence
        highest = sequence

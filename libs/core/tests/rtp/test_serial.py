from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.rtp.serial import timestamp_difference

TIMESTAMPS = st.integers(0, 0xFFFF_FFFF)


@pytest.mark.parametrize(
    ("newer", "older", "difference"),
    # The last two: +20 ms and -12 ms at 8000 Hz.
    [(160, 0, 160), (0, 160, -160), (0x8000_0000, 0, -(1 << 31)), (0, 0xFFFFFF60, 160), (0xFFFFFF00, 0xFFFFFF60, -96)],
)
def test_a_step_across_the_wrap_of_timestamps_is_ordinary(newer: int, older: int, difference: int) -> None:
    assert timestamp_difference(newer, older) == difference


@given(TIMESTAMPS, st.integers(-(1 << 31), (1 << 31) - 1))
def test_a_timestamp_difference_undoes_an_addition(timestamp: int, step: int) -> None:
    assert timestamp_difference((timestamp + step) & 0xFFFF_FFFF, timestamp) == step

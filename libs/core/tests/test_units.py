"""Figures beside their limits: rounded up, so that one above its limit never looks equal to it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.units import microseconds_up, parts_per_million


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.integers(0, 10**6))
def test_a_share_is_above_a_limit_exactly_when_its_ppm_are(part: int, whole: int, limit: int) -> None:
    ppm = parts_per_million(part, whole)
    assert ppm is not None
    assert (ppm > limit) is (part * 1_000_000 > limit * whole)


@given(st.integers(0, 10**12), st.integers(0, 10**8))
def test_a_time_is_above_a_limit_exactly_when_its_microseconds_are(time_ns: int, limit_us: int) -> None:
    microseconds = microseconds_up(time_ns)
    assert microseconds is not None
    assert (microseconds > limit_us) is (time_ns > limit_us * 1000)


def test_nothing_has_no_share_and_no_time() -> None:
    assert parts_per_million(0, 0) is None
    assert microseconds_up(None) is None

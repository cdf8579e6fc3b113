from __future__ import annotations

import time

from rtppool_relay.media.clock_readings import read_clocks


def test_both_clocks_are_read_within_the_error() -> None:
    raw_before, wall_before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), time.time_ns()
    reading = read_clocks()
    wall_after, raw_after = time.time_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    assert raw_before <= reading.raw_ns <= raw_after
    assert wall_before <= reading.wall_ns <= wall_after
    assert 0 <= reading.error_ns <= raw_after - raw_before

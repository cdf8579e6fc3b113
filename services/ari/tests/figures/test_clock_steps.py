from __future__ import annotations

import numpy as np

from rtppool_relay.figures.clock_steps import ClockSteps

MS = 1_000_000
SECOND = 1_000 * MS
START_NS = 1_790_000_000 * SECOND


def test_a_slewed_clock_is_no_step() -> None:
    clock = ClockSteps()
    stepped = [clock.compare(START_NS + at * 100 * MS + at * 50_000, at * 100 * MS) for at in range(50)]
    assert not any(stepped)
    assert clock.steps == 0


def test_an_interval_that_touches_a_step_of_either_direction_is_found() -> None:
    for step_ns in (SECOND, -SECOND):
        clock = ClockSteps()
        clock.compare(START_NS, 0)
        assert clock.compare(START_NS + 100 * MS + step_ns, 100 * MS)
        assert not clock.compare(START_NS + 200 * MS + step_ns, 200 * MS)
        low, high = sorted((START_NS, START_NS + 100 * MS + step_ns))
        starts = np.array([low - 2 * MS, low - MS, low + MS, high, high + MS], np.int64)
        assert clock.spans_step(starts, starts + MS).tolist() == [False, True, True, True, False]
        assert clock.steps == 1

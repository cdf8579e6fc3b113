"""RFC 3550 interarrival jitter (6.4.1, A.8) over columns of many streams.

J_n = J_0 w^n + sum of |D_k| w^(n-k) / 16 with w = 15/16 is the recurrence written out, so that no packet costs a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.streams.columns import StreamSpans, previous, wrapped_steps

Int64s = NDArray[np.int64]

GAIN = 1 / 16
NO_ANCHOR = -1


@dataclass(slots=True)
class StreamJitter:
    """The running estimate of one stream, in ticks of its clock."""

    clock_rate_hz: int
    ticks: float = 0.0
    measured: bool = False
    last_arrival_ns: int = 0
    last_timestamp: int = 0
    last_anchor: int = NO_ANCHOR

    @property
    def microseconds(self) -> float:
        """The estimate in µs."""
        return self.ticks * 1e6 / self.clock_rate_hz


def update_jitter(
    jitters: Sequence[StreamJitter], owners: Int64s, arrivals_ns: Int64s, timestamps: Int64s, anchors: Int64s
) -> None:
    """Add packets of many streams. `owners` (ascending) are positions in `jitters`; arrivals are in any order.

    Only packets of one anchor are compared. A new anchor follows a new stream, a jump of the timestamp, silence or a
    step of the clock.
    """
    if owners.size == 0:
        return
    spans = StreamSpans(owners)
    falling = np.diff(arrivals_ns) < 0
    falling[spans.starts[1:] - 1] = False
    if falling.any():
        order = np.lexsort((arrivals_ns, owners))
        arrivals_ns, timestamps, anchors = arrivals_ns[order], timestamps[order], anchors[order]
    states = [jitters[owner] for owner in spans.owners]
    earlier = previous(arrivals_ns, spans, [state.last_arrival_ns for state in states])
    ticks = wrapped_steps(timestamps, previous(timestamps, spans, [state.last_timestamp for state in states]))
    compared = anchors == previous(anchors, spans, [state.last_anchor for state in states])
    rates = np.array([state.clock_rate_hz / 1e9 for state in states])[spans.ordinals]
    deviations = np.abs((arrivals_ns - earlier) * rates - ticks)[compared]
    ordinals = spans.ordinals[compared]
    counts = np.bincount(ordinals, minlength=len(states))
    following = np.cumsum(counts)[ordinals] - 1 - np.arange(ordinals.size)
    added = np.bincount(ordinals, deviations * GAIN * np.power(1 - GAIN, following), len(states))
    kept = np.power(1 - GAIN, counts)
    ends = spans.ends - 1
    lasts = zip(arrivals_ns[ends].tolist(), timestamps[ends].tolist(), anchors[ends].tolist(), strict=True)
    changes = zip(states, counts.tolist(), kept.tolist(), added.tolist(), lasts, strict=True)
    for state, count, share, more, (arrival, timestamp, anchor) in changes:
        state.last_arrival_ns, state.last_timestamp, state.last_anchor = arrival, timestamp, anchor
        if count:
            state.ticks = state.ticks * share + more
            state.measured = True

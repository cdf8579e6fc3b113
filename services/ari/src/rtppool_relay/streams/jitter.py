"""RFC 3550 interarrival jitter (6.4.1, A.8) over columns of many streams.

J_n = J_0 w^n + sum of |D_k| w^(n-k) / 16 with w = 15/16 is the recurrence written out. It is summed over spans of 1, 2,
4, 8 … packets, so that no packet costs a loop.

J forgets half of a packet within 11 others. A sample of it a second would show some packets and miss most, so every
packet's J counts: a stream's jitter is their mean, and their maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.streams.columns import StreamSpans, previous, wrapped_steps

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]

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
) -> Floats:
    """Add packets of many streams, and return J after each, in µs: NaN for a packet that was not compared.

    `owners` (ascending) are positions in `jitters`; arrivals are in any order.

    Only packets of one anchor are compared. A new anchor follows a new stream, a jump of the timestamp, silence or a
    step of the clock.
    """
    after = np.full(owners.size, np.nan)
    if owners.size == 0:
        return after
    spans = StreamSpans(owners)
    order: Int64s | slice = slice(None)
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
    firsts = np.cumsum(counts) - counts
    estimates = _estimates(deviations, np.arange(ordinals.size) - firsts[ordinals], [s.ticks for s in states], ordinals)
    ends = spans.ends - 1
    lasts = zip(arrivals_ns[ends].tolist(), timestamps[ends].tolist(), anchors[ends].tolist(), strict=True)
    last_estimates = np.append(estimates, 0.0)[firsts + counts - 1].tolist()
    for state, count, estimate, (arrival, timestamp, anchor) in zip(
        states, counts.tolist(), last_estimates, lasts, strict=True
    ):
        state.last_arrival_ns, state.last_timestamp, state.last_anchor = arrival, timestamp, anchor
        if count:
            state.ticks, state.measured = estimate, True
    in_order = np.full(owners.size, np.nan)
    in_order[compared] = estimates / rates[compared] / 1e3
    after[order] = in_order
    return after


def _estimates(deviations: Floats, positions: Int64s, before: list[float], ordinals: Int64s) -> Floats:
    """Return J after each packet, in ticks. `positions` count the packets of each stream, `before` is its last J."""
    estimates = deviations * GAIN
    last = int(positions.max(initial=0))
    step, kept = 1, 1 - GAIN
    while step <= last:
        # Each estimate holds `step` packets, and takes over those of its predecessor `step` packets before.
        estimates[step:] += np.where(positions[step:] >= step, estimates[:-step], 0.0) * kept
        step, kept = 2 * step, kept * kept
    of_before = np.power(1 - GAIN, np.arange(1, last + 2))
    sums: Floats = estimates + np.array(before)[ordinals] * of_before[positions]
    return sums

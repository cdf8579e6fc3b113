"""The true cause of each late packet, by the product's definition and from times that the product does not know.

A packet's stages lie between its due time, its sending, the echo's two kernel stamps, and the stamp of its return:
source, relay, echo, relay. The host's part of a stage is its overlap with time in which no watched processor could run
these processes. A packet is late when its stages exceed the usual ones by more than the threshold. Its cause is `host`
when the rest is within the threshold, otherwise the largest of the four parts. Ties are never the host's.

The cause is known where a stage lies in a logged stall or in the queue behind it. The other late packets belong to the
machine, and a quiet stretch of the same run has them as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lab.bench.causes.intervals import Int64s, Intervals

THRESHOLD_NS = 3_000_000
# A queue of 100 packets has drained within this time after a stall.
QUEUE_NS = 15_000_000
SOURCE_PER_CENT, ECHO_PER_CENT = 5, 50


class Cause(StrEnum):
    """The causes, in the order in which ties are decided."""

    SOURCE = "source"
    RELAY = "relay"
    ECHO = "echo"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Timelines:
    """The answered packets of a run, in ns of the wall clock."""

    due: Int64s
    sent: Int64s
    echo_arrived: Int64s
    echo_departed: Int64s
    returned: Int64s

    def within(self, begin_ns: int, end_ns: int) -> Timelines:
        """Return the packets that were due in a stretch of time."""
        kept = (self.due >= begin_ns) & (self.due < end_ns)
        return Timelines(
            self.due[kept], self.sent[kept], self.echo_arrived[kept], self.echo_departed[kept], self.returned[kept]
        )


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual parts of a packet's time that are no excess, in ns: as the relay's two baselines."""

    source_ns: int
    echo_ns: int


@dataclass(frozen=True, slots=True)
class Truth:
    """Late packets of known cause, by cause; late packets of the machine's own; late packets in all.

    `largest` has all late packets by their cause, also where no stall is logged.
    """

    known: dict[Cause, int]
    unknown: int
    largest: dict[Cause, int]

    @property
    def late(self) -> int:
        """All late packets."""
        return sum(self.known.values()) + self.unknown


def usual_of(packets: Timelines) -> Usual:
    """Return the baselines of undisturbed packets."""
    return Usual(
        _percentile(packets.sent - packets.due, SOURCE_PER_CENT),
        _percentile(packets.echo_departed - packets.echo_arrived, ECHO_PER_CENT),
    )


def true_causes(packets: Timelines, usual: Usual, host: Intervals, disturbed: Intervals) -> Truth:
    """Count the late packets by true cause. `disturbed` are all logged stalls, those of the host included."""
    parts = _parts(packets, usual, host)
    late = parts.sum(axis=0) > THRESHOLD_NS
    near = disturbed.longer(QUEUE_NS).overlap_ns(packets.due, packets.returned) > 0
    without_host = parts[:3].sum(axis=0) <= THRESHOLD_NS
    cause = np.where(without_host, 3, np.argmax(parts, axis=0))
    known, largest = (
        {name: int(np.count_nonzero(kept & (cause == at))) for at, name in enumerate(Cause)}
        for kept in (late & near, late)
    )
    return Truth(known, int(np.count_nonzero(late & ~near)), largest)


def _parts(packets: Timelines, usual: Usual, host: Intervals) -> Int64s:
    """Return the rows source, relay, echo without the host's parts, and host."""
    excesses = (
        packets.sent - packets.due - usual.source_ns,
        packets.echo_arrived - packets.sent + packets.returned - packets.echo_departed,
        packets.echo_departed - packets.echo_arrived - usual.echo_ns,
    )
    stolen = (
        host.overlap_ns(packets.due, packets.sent),
        host.overlap_ns(packets.sent, packets.echo_arrived) + host.overlap_ns(packets.echo_departed, packets.returned),
        host.overlap_ns(packets.echo_arrived, packets.echo_departed),
    )
    of_host = [np.clip(part, 0, np.maximum(excess, 0)) for part, excess in zip(stolen, excesses, strict=True)]
    own = [excess - part for excess, part in zip(excesses, of_host, strict=True)]
    return np.stack([*own, np.sum(of_host, axis=0)])


def _percentile(values: Int64s, per_cent: int) -> int:
    rank = max(0, -(-per_cent * values.size // 100) - 1)
    return int(np.partition(values, rank)[rank])

"""The causes of late packets, and the packets that the SLA judges.

A packet's excess has three parts: of the source, of the relay and of the echo. The time of a part in which a processor
was taken away belongs to the host. The rest is the part's own.

The relay's stages are [a, x] and [r, y], and its media process may also wait for a processor there. The echo's stage
ends at r and is as long as its excess, so that stalls within its usual time excuse nothing. It is on the processor that
received the answer, if the echo is on this machine. An echo reports its own host time with the header extension. The
source's stage ends at a. Its processor is not known, so only time counts in which all watched processors stood still.

A stall is seen from the first beat on that was due in it. A packet that was delayed by it may have waited since before,
so the unseen time before a stall is never what makes such a packet late by another cause.

The SLA judges packets that arrived within the threshold and left late, and packets to which relay and echo added more
than the threshold. All others were late before the relay received them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.media.rows import UNKNOWN_CPU
from rtppool_relay.streams.row_reader import Rows
from rtppool_relay.streams.stalls import Stalls

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Excess:
    """Parts of the excess of packets, in ns. A part of a packet that was faster than usual is negative."""

    source: Int64s
    relay: Int64s
    echo: Int64s

    @property
    def total(self) -> Int64s:
        """How far behind the RTP clock each packet left."""
        return self.source + self.relay + self.echo

    def less(self, other: Excess) -> Excess:
        """Return what is left without other parts."""
        return Excess(self.source - other.source, self.relay - other.relay, self.echo - other.echo)

    def of(self, packets: NDArray[np.intp]) -> Excess:
        """Return the parts of these packets."""
        return Excess(self.source[packets], self.relay[packets], self.echo[packets])


@dataclass(frozen=True, slots=True)
class HostShare:
    """The host's time within each part of the excess of packets: what was seen, and what it is at most."""

    seen: Excess
    at_most: Excess


@dataclass(frozen=True, slots=True)
class Causes:
    """Flags of late packets: one cause each, and whether the SLA judges them, without and with the host's time."""

    source: Flags
    relay: Flags
    echo: Flags
    host: Flags
    judged: Flags
    judged_with_host: Flags


def find_host_time(rows: Rows, excess: Excess, stalls: Stalls) -> HostShare:
    """Return the host's time within each part of the excess of answered rows. `stalls` are of the clock of the rows.

    Unseen time counts only in a part in which a stall was seen.
    """
    seen, most = _overlap(rows, excess, stalls), _overlap(rows, excess, stalls.at_most)
    parts = ((seen.source, most.source), (seen.relay, most.relay), (seen.echo, most.echo))
    return HostShare(seen, Excess(*(np.where(least > 0, longest, 0) for least, longest in parts)))


def _overlap(rows: Rows, excess: Excess, stalls: Stalls) -> Excess:
    arrivals, sent, returned, left = (np.ascontiguousarray(rows[name]) for name in ("a", "x", "r", "y"))
    on_way_out, on_return, on_way_back = (rows[name].astype(np.int64) for name in ("x_cpu", "r_cpu", "y_cpu"))
    unknown = np.full(rows.size, UNKNOWN_CPU)
    source = stalls.overlap_ns(arrivals - np.maximum(excess.source, 0), arrivals, unknown)
    relay = stalls.overlap_with_waits_ns(arrivals, sent, on_way_out)
    relay += stalls.overlap_with_waits_ns(returned, left, on_way_back)
    delayed = np.maximum(sent, returned - np.maximum(excess.echo, 0))
    echo = np.where(rows["echo_is_local"], stalls.overlap_ns(delayed, returned, on_return), 0)
    echo = np.maximum(echo, rows["echo_host_ns"])
    return Excess(source, np.minimum(relay, np.maximum(excess.relay, 0)), np.clip(echo, 0, np.maximum(excess.echo, 0)))


def find_causes(excess: Excess, host: HostShare, thresholds_ns: Int64s) -> Causes:
    """Name the cause of each late packet. `host` is the host's time within each part, at most the part itself.

    A packet that would not be late without the most of the host's time is late by the host. The largest part causes the
    others, and the host only where the time that was seen exceeds every other part.
    """
    own, hosts = excess.less(host.seen), host.seen.total
    late = excess.total > thresholds_ns
    late_by_others = excess.less(host.at_most).total > thresholds_ns
    largest = np.maximum(np.maximum(own.source, own.relay), own.echo)
    by_host = ~late_by_others | (hosts > largest)
    by_source = ~by_host & (own.source == largest)
    by_relay = ~by_host & ~by_source & (own.relay == largest)
    arrived_in_time = excess.source <= thresholds_ns
    added = own.relay + own.echo
    return Causes(
        source=late & by_source,
        relay=late & by_relay,
        echo=late & ~by_host & ~by_source & ~by_relay,
        host=late & by_host,
        judged=late_by_others & (arrived_in_time | (added > thresholds_ns)),
        judged_with_host=late & (arrived_in_time | (added + hosts > thresholds_ns)),
    )

"""The causes of late packets, and the packets that the SLA judges.

A packet's excess has three parts: of the source, of the relay and of the echo. The time of a part in which a processor
was taken away belongs to the host. The rest is the part's own.

The SLA judges packets that arrived within the threshold and left late, and packets to which relay and echo added more
than the threshold. All others were late before the relay received them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
class Causes:
    """Flags of late packets: one cause each, and whether the SLA judges them, without and with the host's time."""

    source: Flags
    relay: Flags
    echo: Flags
    host: Flags
    judged: Flags
    judged_with_host: Flags


def find_causes(excess: Excess, host: Excess, thresholds_ns: Int64s) -> Causes:
    """Name the cause of each late packet. `host` is the host's time within each part, at most the part itself.

    A packet that would not be late without the host's time is late by the host. The largest part causes the others,
    and the host only where its time exceeds every other part.
    """
    own, hosts = excess.less(host), host.total
    late = excess.total > thresholds_ns
    late_by_others = own.total > thresholds_ns
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

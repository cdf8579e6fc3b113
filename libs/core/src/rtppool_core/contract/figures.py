"""The table of figures of a stream: counts of packets, and times in ns.

Each figure has one line here. From it follow the sum over seconds and streams, the window's report, the relay's metrics
and page, and the operator's bounds and merged status. Figures that do not simply add are irregular and have code of
their own: causes and directions of loss, jitter, skew, bursts, estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, structs

from rtppool_core.contract.codec import Contract

# Readers reject other numbers. A pool's status has 32 bits for each.
MAX_NUMBER = (1 << 31) - 1
Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]


@dataclass(frozen=True, slots=True)
class Count:
    """A count of packets.

    Attributes:
        metric: the counter, without `rtp_relay_` and `_total`.
        text: its help.
        label: the row of the page.
        share: the field of a pool's status, in ppm.
        of: the counts that the share is of, added up.
        leg: the metric's label where two counts share it.
        word: the header word in which the packet path counts it, unless it is derived from rows.
    """

    metric: str
    text: str
    label: str
    share: str
    of: tuple[str, ...] = ("packets",)
    leg: str | None = None
    word: str | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """A histogram of times.

    Attributes:
        label: the rows of the page.
        quantiles: fields of a pool's status in µs, and the quantile of each in per mille.
        metric: the histogram, without `rtp_relay_` and `_seconds`.
        text: its help.
        optional: the metric is absent before the first value, which an echo may never provide.
    """

    label: str
    quantiles: Mapping[str, int]
    metric: str | None = None
    text: str = ""
    optional: bool = False


class PacketCounts(Contract, frozen=True):
    """Counts that add up. A count that a relay does not report is 0."""

    too_late: Annotated[
        Number,
        Count(
            metric="too_late_packets",
            text="Answers that came after 2 s.",
            label="Answered after 2 s, counted as lost",
            share="tooLatePpm",
            word="TOO_LATE",
        ),
    ] = 0
    source_lost: Annotated[
        Number,
        Count(
            metric="source_lost_packets",
            text="Packets missing in Asterisk's sequence.",
            label="Missing from Asterisk",
            share="sourceLossPpm",
            of=("packets", "source_lost"),
        ),
    ] = 0
    duplicates: Annotated[
        Number,
        Count(
            metric="duplicate_packets",
            text="Answers that had come before.",
            label="Duplicates",
            share="duplicatePpm",
            word="DUPLICATE_ECHO",
        ),
    ] = 0
    reordered: Annotated[
        Number,
        Count(
            metric="reordered_packets",
            text="Answers overtaken by a later packet's.",
            label="Reordered",
            share="reorderedPpm",
            of=("answered",),
        ),
    ] = 0
    dscp_changed: Annotated[
        Number,
        Count(
            metric="dscp_mismatched_packets",
            text="Packets with another DSCP than the relay's.",
            label="Returned with another DSCP",
            share="dscpChangedPpm",
            leg="echo",
            word="DSCP_CHANGED",
        ),
    ] = 0
    source_dscp_mismatches: Annotated[
        Number,
        Count(
            metric="dscp_mismatched_packets",
            text="Packets with another DSCP than the relay's.",
            label="From Asterisk with an unexpected DSCP",
            share="sourceDscpMismatchPpm",
            leg="source",
            word="SOURCE_DSCP_MISMATCH",
        ),
    ] = 0


COUNTS: Mapping[str, Count] = {each.name: each.type.__metadata__[-1] for each in structs.fields(PacketCounts)}
TIMES: Mapping[str, Times] = {
    "round_trip": Times(
        "Round trip",
        {"p50Microseconds": 500, "p95Microseconds": 950, "p99Microseconds": 990},
        metric="echo_rtt",
        text="From sending a packet to the echo to its return.",
    ),
    "network_round_trip": Times(
        "Round trip without the echo's own time",
        {"networkP50Microseconds": 500, "networkP99Microseconds": 990},
        metric="network_rtt",
        text="Round trip without the echo's own time.",
        optional=True,
    ),
    "echo_residence": Times(
        "Inside the echo",
        {"echoResidenceP99Microseconds": 990},
        metric="echo_residence",
        text="Time a packet spent inside the echo.",
        optional=True,
    ),
    "residence": Times(
        "Inside the relay",
        {"residenceP99Microseconds": 990},
        metric="residence",
        text="Time a packet spent inside the relay, both ways.",
    ),
    "source_variation": Times("Variation of arrivals from Asterisk", {"sourcePdvMicroseconds": 999}),
}

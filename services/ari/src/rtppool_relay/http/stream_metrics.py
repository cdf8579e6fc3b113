"""Metrics of the streams since the relay started: one set for calls, one for the probe."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from rtppool_relay.figures.measurement import BUCKET_EDGES_SECONDS, KINDS, DurationCounts, KindFigures, Measurement
from rtppool_relay.media.rows import Word

# Without the suffix that the exposition adds.
_COUNTERS: tuple[tuple[str, str, Callable[[KindFigures], int]], ...] = (
    ("sent_packets", "Packets sent to the echo.", lambda kind: kind.counted.get(Word.SENT_TO_ECHO, 0)),
    (
        "returned_packets",
        "Packets sent back to Asterisk.",
        lambda kind: kind.store.total.answered - kind.counted.get(Word.RETURN_FAILED, 0),
    ),
    ("lost_packets", "Packets that the echo did not answer within 2 s.", lambda kind: kind.store.total.lost),
    ("too_late_packets", "Answers that came after 2 s.", lambda kind: kind.store.total.too_late),
    ("source_lost_packets", "Packets missing in Asterisk's sequence.", lambda kind: kind.store.total.source_lost),
    ("duplicate_packets", "Answers that had come before.", lambda kind: kind.store.total.duplicates),
    ("reordered_packets", "Answers overtaken by a later packet's.", lambda kind: kind.store.total.reordered),
    ("loss_bursts", "Bursts of loss (RFC 3611).", lambda kind: kind.store.total.bursts.bursts),
    ("burst_packets", "Packets inside bursts of loss.", lambda kind: kind.store.total.bursts.burst_packets),
    ("burst_lost_packets", "Packets lost inside bursts.", lambda kind: kind.store.total.bursts.burst_lost),
)
# Name, help, and the counts; absent while the echo fills no extension.
_DURATIONS: tuple[tuple[str, str, Callable[[KindFigures], DurationCounts], bool], ...] = (
    ("echo_rtt", "From sending a packet to the echo to its return.", lambda kind: kind.round_trips, True),
    ("residence", "Time a packet spent inside the relay, both ways.", lambda kind: kind.residences, True),
    ("echo_residence", "Time a packet spent inside the echo.", lambda kind: kind.echo_residences, False),
    ("network_rtt", "Round trip without the echo's own time.", lambda kind: kind.network_round_trips, False),
)


def stream_metrics(measurement: Measurement) -> Iterable[Metric]:
    """Durations, counters, and what has more labels."""
    for name, text, durations_of, always in _DURATIONS:
        histogram = HistogramMetricFamily(f"rtp_relay_{name}_seconds", text, labels=["stream"])
        for kind in KINDS:
            durations = durations_of(measurement.kinds[kind])
            if always or durations.counts.any():
                _add_histogram(histogram, kind, durations)
        yield histogram
    for name, text, value_of in _COUNTERS:
        counter = CounterMetricFamily(f"rtp_relay_{name}", text, labels=["stream"])
        for kind in KINDS:
            counter.add_metric([kind], value_of(measurement.kinds[kind]))
        yield counter
    yield from _by_cause(measurement)


def _by_cause(measurement: Measurement) -> Iterable[Metric]:
    late = CounterMetricFamily(
        "rtp_relay_late_packets",
        "Packets that left for Asterisk late, by the largest part.",
        labels=["stream", "cause"],
    )
    directed = CounterMetricFamily(
        "rtp_relay_directed_lost_packets", "Lost packets by the way that lost them.", labels=["stream", "way"]
    )
    marked = CounterMetricFamily(
        "rtp_relay_dscp_mismatched_packets", "Packets with another DSCP than the relay's.", labels=["stream", "leg"]
    )
    for kind in KINDS:
        total = measurement.kinds[kind].store.total
        for cause, number in (("source", total.late_source), ("relay", total.late_relay), ("echo", total.late_echo)):
            late.add_metric([kind, cause], number)
        ways = total.directed_loss()
        if ways is not None:
            for way in ("to_echo", "from_echo", "undetermined"):
                directed.add_metric([kind, way], getattr(ways, way))
        marked.add_metric([kind, "source"], total.source_dscp_mismatches)
        marked.add_metric([kind, "echo"], total.dscp_changed)
    yield from (late, directed, marked)


def _add_histogram(family: HistogramMetricFamily, kind: str, durations: DurationCounts) -> None:
    cumulative = durations.counts.cumsum().tolist()
    edges = [*(f"{edge:g}" for edge in BUCKET_EDGES_SECONDS), "+Inf"]
    family.add_metric([kind], [(e, c) for e, c in zip(edges, cumulative, strict=True)], durations.sum_ns / 1e9)

"""Metrics of the streams since the relay started: one set for calls, one for the probe."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from rtppool_core.contract.figures import COUNTS, TIMES
from rtppool_relay.figures.durations import DurationCounts
from rtppool_relay.figures.measurement import KINDS, KindFigures, Measurement
from rtppool_relay.media.rows import Word
from rtppool_relay.streams.slices import Slice

US_PER_SECOND = 1_000_000
# Besides those of the table of figures; without the suffix that the exposition adds.
_COUNTERS: tuple[tuple[str, str, Callable[[KindFigures], int]], ...] = (
    ("sent_packets", "Packets sent to the echo.", lambda kind: kind.counted.get(Word.SENT_TO_ECHO, 0)),
    (
        "returned_packets",
        "Packets sent back to Asterisk.",
        lambda kind: kind.store.total.answered - kind.counted.get(Word.RETURN_FAILED, 0),
    ),
    ("lost_packets", "Packets that the echo did not answer within 2 s.", lambda kind: kind.store.total.lost),
    ("loss_bursts", "Bursts of loss (RFC 3611).", lambda kind: kind.store.total.bursts.bursts),
    ("burst_packets", "Packets inside bursts of loss.", lambda kind: kind.store.total.bursts.burst_packets),
    ("burst_lost_packets", "Packets lost inside bursts.", lambda kind: kind.store.total.bursts.burst_lost),
)


def stream_metrics(measurement: Measurement) -> Iterable[Metric]:
    """Yield durations and counters."""
    for name, times in TIMES.items():
        if times.metric:
            histogram = HistogramMetricFamily(f"rtp_relay_{times.metric}_seconds", times.text, labels=["stream"])
            for kind in KINDS:
                durations = measurement.kinds[kind].durations[name]
                if not times.optional or durations.counts.any():
                    _add_histogram(histogram, kind, durations)
            yield histogram
    for metric, text, value_of in _COUNTERS:
        counter = CounterMetricFamily(f"rtp_relay_{metric}", text, labels=["stream"])
        for kind in KINDS:
            counter.add_metric([kind], value_of(measurement.kinds[kind]))
        yield counter
    yield from _table_counters(measurement)
    yield from _by_cause(measurement)


def _table_counters(measurement: Measurement) -> Iterable[Metric]:
    families: dict[str, CounterMetricFamily] = {}
    for name, count in COUNTS.items():
        labels = ["stream", "leg"] if count.leg else ["stream"]
        family = families.setdefault(
            count.metric, CounterMetricFamily(f"rtp_relay_{count.metric}", count.text, labels=labels)
        )
        for kind in KINDS:
            value = getattr(measurement.kinds[kind].store.total, name)
            family.add_metric([kind, count.leg] if count.leg else [kind], value)
    yield from families.values()


def _by_cause(measurement: Measurement) -> Iterable[Metric]:
    late = CounterMetricFamily(
        "rtp_relay_late_packets",
        "Packets that left for Asterisk late, by the largest part.",
        labels=["stream", "cause"],
    )
    directed = CounterMetricFamily(
        "rtp_relay_directed_lost_packets", "Lost packets by the way that lost them.", labels=["stream", "way"]
    )
    for kind in KINDS:
        total = measurement.kinds[kind].store.total
        for cause, number in by_cause(total).items():
            late.add_metric([kind, cause], number)
        ways = total.directed_loss()
        if ways is not None:
            for way in ("to_echo", "from_echo", "undetermined"):
                directed.add_metric([kind, way], getattr(ways, way))
    yield from (late, directed)


def by_cause(total: Slice) -> dict[str, int]:
    """Return the late packets by cause, without `host` where no witness watched."""
    late = total.late()
    causes = {"source": late.source, "relay": late.relay, "echo": late.echo, "host": late.host}
    return {cause: number for cause, number in causes.items() if number is not None}


def _add_histogram(family: HistogramMetricFamily, kind: str, durations: DurationCounts) -> None:
    cumulative = durations.counts.cumsum().tolist()
    edges = [*(f"{edge / US_PER_SECOND:g}" for edge in durations.edges_us), "+Inf"]
    family.add_metric([kind], [(e, c) for e, c in zip(edges, cumulative, strict=True)], durations.sum_ns / 1e9)

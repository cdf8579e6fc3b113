"""The operator's Prometheus metrics, rendered from its counters at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from rtppool_operator.loop.default_pool_keeper import ACTION
from rtppool_operator.loop.reconciler import LEASE, Reconciler
from rtppool_operator.relays.polling import Poller
from rtppool_operator.work_counters import CONFIGURE, POLL, REPORT, WorkCounters

_CONDITION_VALUES = {"True": 1.0, "False": 0.0}
# Every action has a sample from the start, so that its first failure is an increase.
FAILING_ACTIONS = (LEASE, CONFIGURE, POLL, REPORT, "configuration", "annotation", "status", "event", ACTION)


@dataclass(frozen=True, slots=True)
class MetricsContext:
    """Figures from outside the reconciler."""

    throttled: Callable[[], int] = lambda: 0
    definition_problem: Callable[[], str | None] = lambda: None
    watch_restarts: Callable[[], int] = lambda: 0
    resync_corrections: Callable[[], int] = lambda: 0


class OperatorMetrics(Collector):
    """Reads the reconciler, the poller and their context at each scrape."""

    def __init__(self, reconciler: Reconciler, poller: Poller, context: MetricsContext | None = None) -> None:
        self._reconciler = reconciler
        self._poller = poller
        self._context = context or MetricsContext()

    def describe(self) -> Iterable[Metric]:
        """Return no metric at registration."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield all metric families. A figure that was not measured has no sample."""
        counts = self._reconciler.counts
        yield _by_label(
            "cycles",
            "Rounds over the cluster, each with its writes.",
            "result",
            {"done": counts.cycles, "failed": counts.failed_cycles},
        )
        answered = self._poller.polls - self._poller.failed_polls
        polls = {"heard": answered, "failed": self._poller.failed_polls}
        yield _by_label("relay_polls", "Polls of relays.", "result", polls)
        errors = dict.fromkeys(FAILING_ACTIONS, 0) | counts.errors | self._reconciler.jobs.failures()
        yield _by_label("errors", "Failures by action.", "what", errors)
        yield from self._totals(counts)
        yield _rounds(counts)
        yield from self._gauges(counts)
        yield self._conditions(counts)

    def _totals(self, counts: WorkCounters) -> Iterable[Metric]:
        around = self._context
        for name, text, value in (
            ("config_writes", "Writes of pools.json.", counts.config_writes),
            ("annotations", "Pods annotated because their node's entry changed.", counts.annotations),
            ("nudges", "Pods annotated again because their relay was still behind.", counts.nudges),
            ("status_writes", "Writes of a pool's status.", counts.status_writes),
            ("events", "Events created on pools.", counts.events),
            ("api_throttled", "Responses of the API server that it is overloaded (429).", around.throttled()),
            (
                "resync_corrections",
                "Objects that a list showed otherwise than the watch before it.",
                around.resync_corrections(),
            ),
            ("watch_restarts", "Unexpected ends of the watch of pools.", around.watch_restarts()),
        ):
            yield CounterMetricFamily(f"rtp_operator_{name}", text, value)

    def _gauges(self, counts: WorkCounters) -> Iterable[Metric]:
        outdated = float(self._context.definition_problem() is not None)
        for name, text, number in (
            ("pools", "RtpPool objects at the last round.", counts.pools),
            ("relays", "Relay pods at the last round.", counts.relays),
            ("leading", "1 while this operator holds the lease and reaches the API server.", self._leading()),
            ("definition_outdated", "1 while this operator's definition of RtpPool is not in force.", outdated),
            ("last_cycle_seconds", "Duration of the last round with its writes.", counts.last_cycle_seconds),
        ):
            yield GaugeMetricFamily(f"rtp_operator_{name}", text, number)

    def _conditions(self, counts: WorkCounters) -> Metric:
        family = GaugeMetricFamily(
            "rtp_operator_pool_condition",
            "1 while a condition of a pool is True, 0 while it is False; absent while it is unknown.",
            labels=["pool", "condition"],
        )
        if self._leading():
            for pool, conditions in counts.conditions.items():
                for kind, status in conditions.items():
                    if status in _CONDITION_VALUES:
                        family.add_metric([pool, kind], _CONDITION_VALUES[status])
        return family

    def _leading(self) -> float:
        return float(self._reconciler.problem is None)


def _by_label(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"rtp_operator_{name}", text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _rounds(counts: WorkCounters) -> Metric:
    family = HistogramMetricFamily("rtp_operator_round_seconds", "Duration of a round.", labels=["round"])
    for name, durations in counts.rounds.items():
        family.add_metric([name], buckets=list(durations.cumulative()), sum_value=durations.total_seconds)
    return family

"""The operator's Prometheus metrics, rendered from its counters at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rtppool_operator.loop.configure import DEFAULT_POOL_ACTION
from rtppool_operator.loop.reconciler import LEASE, Reconciler
from rtppool_operator.relays.polling import Poller
from rtppool_operator.work_counters import CONFIGURE, POLL, REPORT

_CONDITION_VALUES = {"True": 1.0, "False": 0.0}
# Every action has a sample from the start, so that its first failure is an increase.
ACTIONS = (LEASE, CONFIGURE, POLL, REPORT, "configuration", "annotation", "status", "event", DEFAULT_POOL_ACTION)
TOTALS = {
    "config_writes": "Writes of pools.json.",
    "annotations": "Pods annotated because their node's entry changed.",
    "nudges": "Pods annotated again because their relay was still behind.",
    "status_writes": "Writes of a pool's status.",
    "events": "Events created on pools.",
    "api_throttled": "Responses of the API server that it is overloaded (429).",
    "resync_corrections": "Objects that a list showed otherwise than the watch before it.",
    "watch_restarts": "Unexpected ends of the watch of pools.",
}


class OperatorMetrics(Collector):
    """Reads the reconciler and the poller at each scrape.

    `elsewhere` has the figures from outside of them: totals, and `definition_outdated`.
    """

    def __init__(
        self, reconciler: Reconciler, poller: Poller, elsewhere: Mapping[str, Callable[[], int]] | None = None
    ) -> None:
        self._reconciler = reconciler
        self._poller = poller
        self._elsewhere = elsewhere or {}

    def describe(self) -> Iterable[Metric]:
        """Return no metric at registration."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield all metric families. A figure that was not measured has no sample."""
        counts, poller = self._reconciler.counts, self._poller
        cycles = {"done": counts.totals["cycles"], "failed": counts.totals["failed_cycles"]}
        yield _by_label("cycles", "Rounds over the cluster, each with its writes.", "result", cycles)
        polls = {"heard": poller.polls - poller.failed_polls, "failed": poller.failed_polls}
        yield _by_label("relay_polls", "Polls of relays.", "result", polls)
        errors = dict.fromkeys(ACTIONS, 0) | counts.errors | self._reconciler.jobs.failures()
        yield _by_label("errors", "Failures by action.", "what", errors)
        elsewhere = {name: read() for name, read in self._elsewhere.items()}
        for name, text in TOTALS.items():
            yield CounterMetricFamily(f"rtp_operator_{name}", text, counts.totals[name] + elsewhere.get(name, 0))
        for family in counts.rounds.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
        for name, text, number in (
            ("pools", "RtpPool objects at the last round.", counts.pools),
            ("relays", "Relay pods at the last round.", counts.relays),
            ("leading", "1 while this operator holds the lease and reaches the API server.", self._leading()),
            (
                "definition_outdated",
                "1 while this operator's definition of RtpPool is not in force.",
                elsewhere.get("definition_outdated", 0),
            ),
            ("last_cycle_seconds", "Duration of the last round with its writes.", counts.last_cycle_seconds),
        ):
            yield GaugeMetricFamily(f"rtp_operator_{name}", text, number)
        yield self._conditions()

    def _conditions(self) -> Metric:
        family = GaugeMetricFamily(
            "rtp_operator_pool_condition",
            "1 while a condition of a pool is True, 0 while it is False; absent while it is unknown.",
            labels=["pool", "condition"],
        )
        for view in self._reconciler.views if self._leading() else ():
            for condition in view.status["conditions"]:
                value = _CONDITION_VALUES.get(condition["status"])
                if value is not None:
                    family.add_metric([view.pool.key, condition["type"]], value)
        return family

    def _leading(self) -> float:
        return float(self._reconciler.problem is None)


def _by_label(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(f"rtp_operator_{name}", text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family

"""The operator's Prometheus metrics, rendered from its counts at each scrape."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rtppool_operator.polling import Poller
from rtppool_operator.reconciler import Reconciler


class OperatorMetrics(Collector):
    """Reads the reconciler and the poller whenever Prometheus asks."""

    def __init__(self, reconciler: Reconciler, poller: Poller) -> None:
        self._reconciler = reconciler
        self._poller = poller

    def describe(self) -> Iterable[Metric]:
        """Nothing at registration."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """All metric families; a figure that was not measured has no sample."""
        counts = self._reconciler.counts
        cycles = CounterMetricFamily("rtp_operator_cycles", "Rounds of look, write and ask.", labels=["result"])
        cycles.add_metric(["done"], counts.cycles)
        cycles.add_metric(["failed"], counts.failed_cycles)
        polls = CounterMetricFamily("rtp_operator_relay_polls", "Reports asked of relays.", labels=["result"])
        polls.add_metric(["heard"], self._poller.polls - self._poller.failed_polls)
        polls.add_metric(["failed"], self._poller.failed_polls)
        yield from (cycles, polls)
        for name, text, value in (
            ("config_writes", "Writes of pools.json.", counts.config_writes),
            ("status_writes", "Writes of a pool's status.", counts.status_writes),
            ("events", "Events created on pools.", counts.events),
        ):
            family = CounterMetricFamily(f"rtp_operator_{name}", text)
            family.add_metric([], value)
            yield family
        for name, text, number in (
            ("pools", "RtpPool objects at the last look.", counts.pools),
            ("relays", "Relay pods at the last look.", counts.relays),
            ("leading", "1 while this operator holds the lease and reaches the API server.", self._leading()),
        ):
            gauge = GaugeMetricFamily(f"rtp_operator_{name}", text)
            gauge.add_metric([], number)
            yield gauge
        seconds = GaugeMetricFamily("rtp_operator_last_cycle_seconds", "How long the last round took.")
        if counts.last_cycle_seconds is not None:
            seconds.add_metric([], counts.last_cycle_seconds)
        yield seconds

    def _leading(self) -> float:
        return float(self._reconciler.problem is None)

"""The echo's Prometheus metrics, read from its counters at each scrape. Every reason is a series from the start."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rtppool_core.host.figures import HostFigures
from rtppool_core.host.metrics import host_metrics
from rtppool_echo.workers.counters import Counters
from rtppool_echo.workers.host_watch import HostWatch
from rtppool_echo.workers.sockets import overflows
from rtppool_echo.workers.supervisor import WorkerSupervisor


class EchoMetrics(Collector):
    """Collects the shared counters, the sockets' overflows, the supervisor's figures and the machine's host time."""

    def __init__(
        self, counters: Counters, sockets: list[socket.socket], supervisor: WorkerSupervisor, watch: HostWatch | None
    ) -> None:
        self._counters = counters
        self._sockets = sockets
        self._supervisor = supervisor
        self._watch = watch

    def collect(self) -> Iterable[Metric]:
        """Yield all metric families. A figure that was not measured has no sample."""
        figures = self._counters.total()
        packets = CounterMetricFamily("rtp_echo_answered_packets", "RTP packets sent back to their sender.")
        packets.add_metric([], figures.answered_packets)
        octets = CounterMetricFamily("rtp_echo_answered_bytes", "UDP payload bytes sent back.")
        octets.add_metric([], figures.answered_bytes)
        dropped = CounterMetricFamily("rtp_echo_dropped_packets", "Datagrams not answered.", labels=["reason"])
        for reason, number in figures.dropped.items():
            dropped.add_metric([reason], number)
        yield from (packets, octets, dropped, self._overflows())
        up = GaugeMetricFamily("rtp_echo_workers_up", "Reflecting processes that answer.")
        up.add_metric([], self._supervisor.workers_up())
        restarts = CounterMetricFamily("rtp_echo_worker_restarts", "Reflecting processes started again.")
        restarts.add_metric([], self._supervisor.restarts)
        yield from (up, restarts)
        yield from host_metrics(HostFigures() if self._watch is None else self._watch.total, "rtp_echo", "worker")

    def describe(self) -> Iterable[Metric]:
        """Return nothing: at registration the sources of the figures may not have started."""
        return ()

    def _overflows(self) -> Metric:
        family = CounterMetricFamily(
            "rtp_echo_receive_overflows", "Datagrams that the kernel dropped because the echo's buffer was full."
        )
        known = [number for number in map(overflows, self._sockets) if number is not None]
        if known:
            family.add_metric([], sum(known))
        return family

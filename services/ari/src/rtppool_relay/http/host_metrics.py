"""Metrics of host time since the relay started. A witness that can't be read has no series."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric

from rtppool_core.host.figures import HostFigures

NS_PER_SECOND = 1e9
# Without the suffix that the exposition adds.
_TIMES = (
    ("rtp_relay_host_stolen_seconds", "Processor time that the hypervisor took.", "stolen_ns"),
    ("rtp_relay_media_run_delay_seconds", "How long media processes waited for a processor.", "run_delay_ns"),
    ("rtp_relay_cpu_throttled_seconds", "How long a CPU limit held this container back.", "throttled_ns"),
    ("rtp_relay_host_pressure_seconds", "Time in which some process waited for a processor.", "pressure_ns"),
    ("rtp_relay_host_cpu_seconds", "Processor time that the machine had.", "capacity_ns"),
)


def host_metrics(total: HostFigures) -> Iterable[Metric]:
    """Yield counters."""
    for name, text, of in _TIMES:
        family = CounterMetricFamily(name, text)
        value_ns = getattr(total, of)
        if value_ns is not None:
            family.add_metric([], value_ns / NS_PER_SECOND)
        yield family
    periods = CounterMetricFamily("rtp_relay_cpu_throttled_periods", "Periods in which the limit held it back.")
    if total.throttled_periods is not None:
        periods.add_metric([], total.throttled_periods)
    yield periods
    stalls = CounterMetricFamily(
        "rtp_relay_host_stall_seconds", "How long a watched processor stood still.", labels=["processor"]
    )
    for processor, stalled_ns in (total.stalled_ns or {}).items():
        stalls.add_metric([str(processor)], stalled_ns / NS_PER_SECOND)
    yield stalls

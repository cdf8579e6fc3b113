"""Metrics of host time since a program started. A witness that can't be read has no series."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric

from rtppool_core.host.figures import HostFigures
from rtppool_core.units import NS_PER_SECOND

# Without the program before it, and the suffix that the exposition adds.
_TIMES = (
    ("host_stolen_seconds", "Processor time that the hypervisor took.", "stolen_ns"),
    ("{processes}_run_delay_seconds", "How long the packet processes waited for a processor.", "run_delay_ns"),
    ("cpu_throttled_seconds", "How long a CPU limit held this container back.", "throttled_ns"),
    ("host_pressure_seconds", "Time in which some process waited for a processor.", "pressure_ns"),
    ("host_cpu_seconds", "Processor time that the machine had.", "capacity_ns"),
)


def host_metrics(total: HostFigures, program: str, processes: str) -> Iterable[Metric]:
    """Yield counters. `program` begins each name, and `processes` names the packet processes in it."""
    for name, text, of in _TIMES:
        family = CounterMetricFamily(f"{program}_{name.format(processes=processes)}", text)
        value_ns = getattr(total, of)
        if value_ns is not None:
            family.add_metric([], value_ns / NS_PER_SECOND)
        yield family
    periods = CounterMetricFamily(f"{program}_cpu_throttled_periods", "Periods in which the limit held it back.")
    if total.throttled_periods is not None:
        periods.add_metric([], total.throttled_periods)
    yield periods
    stalls = CounterMetricFamily(
        f"{program}_host_stall_seconds", "How long a watched processor stood still.", labels=["processor"]
    )
    for processor, stalled_ns in (total.stalled_ns or {}).items():
        stalls.add_metric([str(processor)], stalled_ns / NS_PER_SECOND)
    yield stalls

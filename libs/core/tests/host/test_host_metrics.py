from __future__ import annotations

from prometheus_client.core import Metric

from rtppool_core.host.figures import HostFigures
from rtppool_core.host.metrics import host_metrics
from rtppool_core.units import NS_PER_SECOND

ALL = HostFigures(
    capacity_ns=122 * NS_PER_SECOND,
    stolen_ns=3 * NS_PER_SECOND,
    run_delay_ns=2 * NS_PER_SECOND,
    throttled_ns=NS_PER_SECOND,
    throttled_periods=37,
    pressure_ns=4 * NS_PER_SECOND,
    stalled_ns={0: NS_PER_SECOND // 2, 3: 0},
)


def values(metrics: list[Metric]) -> dict[tuple[str, ...], float]:
    return {(each.name, *each.labels.values()): each.value for metric in metrics for each in metric.samples}


def test_host_time_is_counted_in_seconds_and_stalls_by_processor() -> None:
    assert values(list(host_metrics(ALL, "rtp_relay", "media"))) == {
        ("rtp_relay_host_cpu_seconds_total",): 122.0,
        ("rtp_relay_host_stolen_seconds_total",): 3.0,
        ("rtp_relay_media_run_delay_seconds_total",): 2.0,
        ("rtp_relay_cpu_throttled_seconds_total",): 1.0,
        ("rtp_relay_cpu_throttled_periods_total",): 37.0,
        ("rtp_relay_host_pressure_seconds_total",): 4.0,
        ("rtp_relay_host_stall_seconds_total", "0"): 0.5,
        ("rtp_relay_host_stall_seconds_total", "3"): 0.0,
    }


def test_a_witness_that_can_not_be_read_has_no_series() -> None:
    assert values(list(host_metrics(HostFigures(), "rtp_relay", "media"))) == {}
    assert values(list(host_metrics(HostFigures(stolen_ns=0), "rtp_echo", "worker"))) == {
        ("rtp_echo_host_stolen_seconds_total",): 0.0
    }

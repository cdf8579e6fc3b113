from __future__ import annotations

from prometheus_client.core import Metric

from rtppool_core.host.figures import HostFigures
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.http.host_metrics import host_metrics
from rtppool_relay.http.stream_metrics import by_cause
from rtppool_relay.streams.slices import Slice

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
    assert values(list(host_metrics(ALL))) == {
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
    assert values(list(host_metrics(HostFigures()))) == {}
    assert values(list(host_metrics(HostFigures(stolen_ns=0)))) == {("rtp_relay_host_stolen_seconds_total",): 0.0}


def test_late_packets_have_the_cause_host_where_a_witness_watched() -> None:
    unwatched = Slice(packets=9, late_source=3, late_relay=2, late_echo=1)
    assert by_cause(unwatched) == {"source": 3, "relay": 2, "echo": 1}
    watched = Slice(packets=9, late_source=3, late_relay=2, late_echo=1, late_host=0, witnessed=9)
    assert by_cause(watched) == {"source": 3, "relay": 2, "echo": 1, "host": 0}

"""The relay's Prometheus metrics, rendered from its figures at each scrape; no label names a call, port or address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from rtppool_core.contract.report import FINDING_CODES, DurationsReport, Report
from rtppool_core.host.metrics import host_metrics
from rtppool_relay.calls.table import CUTS, CallEvent
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.http.stream_metrics import stream_metrics
from rtppool_relay.http.window_metrics import window_metrics
from rtppool_relay.ports.interface import RefusalReason

ARI_STATES = ("Connected", "NotConfigured", "Unreachable", "Unauthorized", "Replaced")
PORT_STATES = ("free", "leased", "resting", "quarantined", "draining", "excluded")
REFUSALS = get_args(RefusalReason)
ENDS = (CallEvent.CALLER_GONE.value, CallEvent.CALLER_MOVED.value, *sorted(event.value for event in CUTS))
US_PER_SECOND = 1_000_000


class RelayMetrics(Collector):
    """Reads a snapshot and the measurement at each scrape."""

    def __init__(
        self, snapshot: Callable[[], Snapshot], measurement: Measurement, job_failures: Callable[[], Mapping[str, int]]
    ) -> None:
        self._snapshot = snapshot
        self._measurement = measurement
        self._job_failures = job_failures

    def collect(self) -> Iterable[Metric]:
        """Yield all metric families. A figure that was not measured has no sample."""
        snapshot = self._snapshot()
        report = snapshot.report
        yield from stream_metrics(self._measurement)
        yield from _ports(report)
        yield from _calls(report)
        yield from _connections(report)
        yield from _media(report)
        yield from _verdict(report)
        yield from _configuration(report)
        yield from window_metrics(snapshot.calls)
        yield from host_metrics(self._measurement.host.total, "rtp_relay", "media")
        yield _failures(self._job_failures())

    def describe(self) -> Iterable[Metric]:
        """Describe nothing at registration: the sources of the figures may not have started yet."""
        return ()


def _failures(by_job: Mapping[str, int]) -> Metric:
    failures = CounterMetricFamily("rtp_relay_job_failures", "Failed rounds of periodic jobs.", labels=["job"])
    for job, number in by_job.items():
        failures.add_metric([job], number)
    return failures


def _verdict(report: Report) -> Iterable[Metric]:
    verdict = GaugeMetricFamily("rtp_relay_sla_met", "1 when the window meets its tier; absent while unknown.")
    if report.sla.result != "Unknown":
        verdict.add_metric([], float(report.sla.result == "Met"))
    yield verdict


def _configuration(report: Report) -> Iterable[Metric]:
    pooled = GaugeMetricFamily("rtp_relay_pool_applied", "1 while the relay runs the configuration of a pool.")
    pooled.add_metric([], float(report.pool is not None))
    rejected = GaugeMetricFamily("rtp_relay_config_rejected", "1 while the relay rejects the pools file.")
    rejected.add_metric([], float(report.config_error is not None))
    findings = GaugeMetricFamily("rtp_relay_preflight_findings", "Present findings of preflight.", labels=["code"])
    present = Counter(each.code for each in report.preflight)
    for code in dict.fromkeys((*FINDING_CODES, *present)):
        findings.add_metric([code], present[code])
    yield from (pooled, rejected, findings)


def _ports(report: Report) -> Iterable[Metric]:
    ports = GaugeMetricFamily("rtp_relay_ports", "Ports by state.", labels=["state"])
    for state in PORT_STATES:
        ports.add_metric([state], getattr(report.ports, state))
    early = CounterMetricFamily("rtp_relay_ports_reused_early", "Leases of a port before its rest was over.")
    early.add_metric([], report.ports.reused_early)
    leaked = CounterMetricFamily("rtp_relay_ports_leaked", "Leases that belonged to no call any more, taken back.")
    leaked.add_metric([], report.ports.leaked)
    yield from (ports, early, leaked)


def _calls(report: Report) -> Iterable[Metric]:
    calls = report.calls
    for name, text, value in (
        ("active", "Calls that have not ended.", calls.active),
        ("shared", "Active calls with a third channel in the bridge.", calls.shared),
    ):
        gauge = GaugeMetricFamily(f"rtp_relay_{name}_calls", text)
        gauge.add_metric([], value)
        yield gauge
    for name, text, value in (
        ("calls_arrived", "Calls that came or were found.", calls.arrived),
        ("calls_accepted", "Calls that got a port.", calls.accepted),
        ("calls_left_before_answer", "Calls whose caller left before they were answered.", calls.left_before_answer),
        ("calls_cut", "Calls that ended by a fault or a drain's deadline.", calls.cut),
        ("calls_adopted", "Calls taken over after a restart or a lost connection.", calls.adopted),
        ("calls_handed_over", "Adopted calls whose relay before left word when it left them.", calls.handed_over),
        ("calls_silent", "Calls of which no packet came from Asterisk for a while.", calls.went_silent),
        ("calls_one_way", "Calls of which packets came and none went back.", calls.went_one_way),
        ("orphans_deleted", "Channels and bridges left behind and deleted.", calls.orphans_deleted),
    ):
        family = CounterMetricFamily(f"rtp_relay_{name}", text)
        family.add_metric([], value)
        yield family
    for name, text, reasons, by_reason in (
        ("ended", "Calls that were taken and ended.", ENDS, calls.ended_by),
        ("refused", "Calls sent back to the dialplan.", REFUSALS, calls.refused),
    ):
        family = CounterMetricFamily(f"rtp_relay_calls_{name}", text, labels=["reason"])
        for reason in reasons:
            family.add_metric([reason], by_reason.get(reason, 0))
        yield family
    yield _durations("call_setup", "From StasisStart to both channels in the bridge.", calls.setup)
    yield _durations("call_refusal", "From StasisStart until a refused caller was back.", calls.refusal)
    yield _durations("first_return", "From Asterisk's first packet to its return.", calls.first_return)
    yield _durations("hand_over_gap", "From when the relay before left a call to its first packet here.", calls.gap)


def _durations(name: str, text: str, durations: DurationsReport | None) -> Metric:
    family = HistogramMetricFamily(f"rtp_relay_{name}_seconds", text)
    if durations is not None:
        buckets = [(f"{edge / US_PER_SECOND:g}", float(count)) for edge, count in durations.buckets]
        buckets.append(("+Inf", float(durations.samples)))
        family.add_metric([], buckets, durations.sum_microseconds / US_PER_SECOND)
    return family


def _connections(report: Report) -> Iterable[Metric]:
    ari = GaugeMetricFamily("rtp_relay_ari_state", "1 for the state of the connection to Asterisk.", labels=["state"])
    for state in ARI_STATES:
        ari.add_metric([state], float(report.ari.state == state))
    reconnects = CounterMetricFamily("rtp_relay_ari_reconnects", "Connections to Asterisk made anew.")
    reconnects.add_metric([], report.ari.reconnects)
    echo = GaugeMetricFamily("rtp_relay_echo_reachable", "1 while the echo answers; absent before anything was sent.")
    if report.echo.reachable is not None:
        echo.add_metric([], float(report.echo.reachable))
    ignored = CounterMetricFamily("rtp_relay_ari_events_ignored", "Events of Asterisk that could not be parsed.")
    ignored.add_metric([], report.ari.events_ignored)
    yield from (ari, reconnects, ignored, echo)


def _media(report: Report) -> Iterable[Metric]:
    workers = GaugeMetricFamily("rtp_relay_media_workers_up", "Media processes that answer.")
    workers.add_metric([], report.media.workers_up)
    restarts = CounterMetricFamily("rtp_relay_media_restarts", "Media processes started again.")
    restarts.add_metric([], report.media.restarts)
    overruns = CounterMetricFamily("rtp_relay_row_overruns", "Rows overwritten before they were read.")
    overruns.add_metric([], report.media.row_overruns)
    unjudged = CounterMetricFamily("rtp_relay_streams_unjudged", "SSRCs that replaced each other too fast.")
    unjudged.add_metric([], report.media.streams_unjudged)
    dropped = CounterMetricFamily("rtp_relay_dropped_packets", "Datagrams not forwarded.", labels=["reason"])
    for reason, number in report.media.dropped.items():
        dropped.add_metric([reason], number)
    steps = CounterMetricFamily("rtp_relay_clock_steps", "Steps of the wall clock.")
    steps.add_metric([], report.clock.steps)
    slews = CounterMetricFamily("rtp_relay_clock_slews", "Slews of the wall clock by more than 200 ppm.")
    slews.add_metric([], report.clock.slews)
    samples = CounterMetricFamily("rtp_relay_samples_dropped", "Samples dropped across a step of the clock.")
    samples.add_metric([], report.clock.samples_dropped)
    yield from (workers, restarts, overruns, dropped, unjudged, steps, slews, samples)

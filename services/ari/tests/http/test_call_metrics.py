"""Metrics of calls: arrivals, ends and durations."""

from __future__ import annotations

from typing import Any

from prometheus_client.core import Metric

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import (
    FINDING_CODES,
    AriReport,
    CallsReport,
    ClockReport,
    EchoReport,
    Finding,
    MediaReport,
    PoolReference,
    PortsReport,
    Report,
    SlaReport,
    Windows,
)
from rtppool_relay.calls.record import CallDurations
from rtppool_relay.calls.table import CallEvent
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.metrics import ENDS, RelayMetrics
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.streams.slices import Slice
from rtppool_relay.streams.steady_clock import SteadyClock

MS = 1_000_000
FINDINGS = "rtp_relay_preflight_findings"
NO_CALLS = CallsReport(0, 0, 0, 0, 0, {})


def samples_of(calls: CallsReport, **changes: Any) -> dict[tuple[str, ...], float]:
    report = Report(
        relay="rtp-relay-x7",
        node="worker-1",
        software_version="0.1.0",
        ready=True,
        not_ready=(),
        draining=False,
        ports=PortsReport("10000-10100", 101, 100, 1, 0, 0, 0, 0, leaked=2),
        calls=calls,
        ari=AriReport("Connected", 0),
        media=MediaReport(1, 1, 0, 0, {}),
        clock=ClockReport("kernel", 0, 0),
        echo=EchoReport("127.0.0.1", 4000),
        sla=SlaReport("Unknown", "NoCalls", 0),
        windows=Windows(),
        **changes,
    )
    snapshot = Snapshot(report, SlaLimits(), (), Slice(), Slice())
    families: list[Metric] = list(
        RelayMetrics(lambda: snapshot, Measurement(SteadyClock()), lambda: {"trying the ports": 2}).collect()
    )
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def test_every_reason_for_an_end_is_born_at_zero() -> None:
    found = samples_of(CallsReport(0, 0, 0, 0, 0, {}))
    assert {key[1] for key in found if key[0] == "rtp_relay_calls_ended_total"} == set(ENDS)
    assert all(found["rtp_relay_calls_ended_total", reason] == 0 for reason in ENDS)


def test_reasons_are_the_events_that_can_end_a_call_that_was_taken() -> None:
    names = {event.value for event in CallEvent}
    assert set(ENDS) <= names
    assert len(ENDS) == len(set(ENDS))


def test_findings_of_preflight_are_counted_by_code_and_every_code_is_born_at_zero() -> None:
    found = samples_of(NO_CALLS)
    assert {key[1]: value for key, value in found.items() if key[0] == FINDINGS} == dict.fromkeys(FINDING_CODES, 0)
    twice = (Finding("JobFailed", "one"), Finding("JobFailed", "other"), Finding("Newer", "of a later version"))
    found = samples_of(NO_CALLS, preflight=twice)
    assert (found[FINDINGS, "JobFailed"], found[FINDINGS, "Newer"], found[FINDINGS, "CpuLimit"]) == (2, 1, 0)


def test_the_configuration_is_that_of_a_pool_and_accepted_or_not() -> None:
    names = ("rtp_relay_pool_applied",), ("rtp_relay_config_rejected",)
    assert [samples_of(NO_CALLS)[name] for name in names] == [0, 0]
    found = samples_of(NO_CALLS, pool=PoolReference("default", "voice", "u"), config_error="portRange is missing")
    assert [found[name] for name in names] == [1, 1]


def test_ends_are_told_by_reason_and_calls_without_sound_are_counted() -> None:
    calls = CallsReport(
        2, 9, 6, 1, 0, {}, ended_by={"callerGone": 5, "stepFailed": 1}, shared=1, went_silent=3, went_one_way=4
    )
    found = samples_of(calls)
    assert found["rtp_relay_calls_ended_total", "callerGone"] == 5
    assert found["rtp_relay_calls_ended_total", "stepFailed"] == 1
    assert found["rtp_relay_calls_silent_total",] == 3
    assert found["rtp_relay_calls_one_way_total",] == 4
    assert found["rtp_relay_shared_calls",] == 1
    assert found["rtp_relay_ports_leaked_total",] == 2


def test_the_set_up_time_is_a_histogram_in_seconds() -> None:
    setup = CallDurations()
    for duration in (12 * MS, 35 * MS, 90 * MS):
        setup.add(duration)
    found = samples_of(CallsReport(0, 3, 3, 0, 0, {}, setup=setup.report()))
    assert found["rtp_relay_call_setup_seconds_bucket", "0.04"] == 2
    assert found["rtp_relay_call_setup_seconds_bucket", "+Inf"] == 3
    assert found["rtp_relay_call_setup_seconds_count",] == 3
    assert round(found["rtp_relay_call_setup_seconds_sum",], 3) == 0.137
    assert not [key for key in found if key[0].startswith("rtp_relay_first_return_seconds")]


def test_failures_of_periodic_jobs_are_counted_by_job() -> None:
    assert samples_of(CallsReport(0, 0, 0, 0, 0, {}))["rtp_relay_job_failures_total", "trying the ports"] == 2

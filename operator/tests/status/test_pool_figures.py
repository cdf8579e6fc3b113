"""Figures of a pool from relay reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from msgspec import structs

from rtppool_core.contract.report import (
    CallsReport,
    EchoReport,
    HostReport,
    LateByCause,
    PortsReport,
    Report,
    SlaReport,
    SlaViolation,
    UnreachableTier,
    WindowReport,
    Windows,
)
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import Pool, RelayPod
from rtppool_operator.relays.observed import LastReport, PoolObservation, observe
from rtppool_operator.status.conditions import add_times, conditions
from rtppool_operator.status.figures import figures, milliseconds

MakePool = Callable[..., Pool]
MakeReport = Callable[..., Report]
NOW = 1000.0


Seen = Callable[..., PoolObservation]


def test_histograms_of_relays_are_added_and_quantiles_never_averaged(
    seen: Seen, pool: Pool, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    slow, fast = make_window(*[9000] * 2), make_window(*[100] * 98)
    observation = seen(make_report(pool, windows=Windows(calls=slow)), make_report(pool, windows=Windows(calls=fast)))
    calls = figures(observation)["latency"]["calls"]
    assert calls["samples"] == 100
    assert calls["p50Microseconds"] == pytest.approx(100, rel=0.016)
    assert calls["p99Microseconds"] == pytest.approx(9000, rel=0.016)
    assert calls["maxMicroseconds"] == 9000


def test_shares_are_of_all_packets_and_the_source_stands_apart(
    seen: Seen, pool: Pool, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    window = make_window(*[100] * 999, lost=1, late=LateByCause(source=5, relay=2, echo=1))
    calls = figures(seen(make_report(pool, windows=Windows(calls=window))))["latency"]["calls"]
    assert (calls["lossPpm"], calls["latePpm"], calls["sourceLatePpm"]) == (1000, 3000, 5000)


def test_late_packets_count_as_their_relay_judged_them_and_the_host_stands_apart(
    seen: Seen, pool: Pool, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    late = LateByCause(source=5, relay=2, echo=1, host=4, judged=6)
    report = make_report(pool, windows=Windows(calls=make_window(*[100] * 1000, late=late)))
    calls = figures(seen(report))["latency"]["calls"]
    assert (calls["latePpm"], calls["hostLatePpm"], calls["sourceLatePpm"]) == (6000, 4000, 5000)


def test_the_host_s_share_is_of_the_packets_of_relays_that_can_tell(
    seen: Seen, pool: Pool, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    earlier = make_window(*[100] * 1000, late=LateByCause(relay=3))
    reports = [make_report(pool, windows=Windows(calls=earlier))]
    assert "hostLatePpm" not in figures(seen(*reports))["latency"]["calls"]
    reports.append(make_report(pool, windows=Windows(calls=make_window(*[100] * 1000, late=LateByCause(host=4)))))
    calls = figures(seen(*reports))["latency"]["calls"]
    assert (calls["hostLatePpm"], calls["latePpm"]) == (4000, 1500)


def test_host_time_adds_up_over_the_relays_that_read_it(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    stolen = make_report(pool, host=HostReport(60, cpu_seconds=122.0, stolen_milliseconds=3_000))
    limited = make_report(pool, host=HostReport(60, cpu_seconds=240.0, throttled_milliseconds=0, stolen_milliseconds=5))
    assert figures(seen(stolen, limited, make_report(pool)))["host"] == {
        "windowSeconds": 60,
        "cpuSeconds": 362,
        "stolenMilliseconds": 3_005,
        "throttledMilliseconds": 0,
    }
    assert "host" not in figures(seen(make_report(pool)))


def test_the_probe_is_never_mixed_with_calls_and_marked_in_the_summary(
    seen: Seen, pool: Pool, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    probe = make_window(*[200] * 10)
    alone = figures(seen(make_report(pool, windows=Windows(probe=probe))))
    assert set(alone["latency"]) == {"probe"}
    assert alone["summary"]["p99"].endswith("ms (probe)")
    both = figures(seen(make_report(pool, windows=Windows(calls=make_window(3100), probe=probe))))
    assert both["summary"]["p99"] == "3.1ms"


def test_nothing_measured_is_absent(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    status = figures(seen(make_report(pool)))
    assert "latency" not in status
    assert "p99" not in status["summary"]


def test_milliseconds_never_show_zero_for_what_was_measured() -> None:
    assert [milliseconds(value) for value in (3100, 200, 4)] == ["3.1ms", "0.2ms", "0.004ms"]


def test_milliseconds_are_rounded_up_so_that_none_above_a_limit_looks_equal_to_it() -> None:
    shown = [milliseconds(value) for value in (18_000, 18_001, 12_345, 999, 991, 204, 99)]
    assert shown == ["18.0ms", "18.1ms", "12.4ms", "1.0ms", "1.0ms", "0.21ms", "0.099ms"]


def test_the_capacity_adds_up_over_relays(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    ports = PortsReport("10000-10100", 101, 90, 6, 4, 1, 0, 2)
    calls = CallsReport(8, 20, 12, 0, 0, {"NoFreePort": 3, "Draining": 1})
    status = figures(seen(make_report(pool, ports=ports, calls=calls), make_report(pool)))
    capacity = status["capacity"]
    assert capacity["total"] == 202
    assert capacity["total"] == sum(capacity[name] for name in ("free", "allocated", "resting", "quarantined"))
    assert (status["activeCalls"], status["refusedCalls"]) == (8, 4)


def test_every_status_fits_the_definition(
    seen: Seen,
    pool: Pool,
    make_report: MakeReport,
    make_window: Callable[..., WindowReport],
    status_schema: dict[str, Any],
) -> None:
    limits = (SlaViolation("p99Microseconds", 18000, 25000),)
    violated = SlaReport("Violated", "LimitExceeded", 9, 30, True, limits, 101, (UnreachableTier(150, "why."),))
    window = make_window(100, 200, lost=1, late=LateByCause(host=1, judged=0))
    host = HostReport(60, 122.0, 3_000, 5_000, 7_000, 70, 9_000, 400, 10, 10, "NotReported")
    reports = [
        (),
        (None,),
        (make_report(),),
        (make_report(pool), make_report(pool, sla=violated, windows=Windows(window, window), host=host)),
    ]
    for given in reports:
        for at in (NOW, NOW - 60):
            observation = seen(*given, at=at)
            status = figures(observation)
            status["conditions"] = add_times(conditions(observation), (), 3, "2026-01-01T00:00:00Z")
            jsonschema.validate(status, closed(status_schema))


@pytest.fixture
def status_schema(definition: dict[str, Any]) -> dict[str, Any]:
    return dict(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"])


def closed(schema: Any) -> Any:
    """Return the schema with unknown fields rejected, because the API server would drop them."""
    if isinstance(schema, dict):
        inner = {name: closed(value) for name, value in schema.items() if name != "format"}
        return inner | {"additionalProperties": False} if "properties" in inner else inner
    return [closed(value) for value in schema] if isinstance(schema, list) else schema


def test_relays_that_are_listed_are_bounded_and_counted(pool: Pool, make_relay: Callable[..., RelayPod]) -> None:
    relays = [make_relay(f"n{number:03}") for number in range(70)]
    observation = observe(Claim(pool, tuple(relay.node for relay in relays)), relays, {}, {}, NOW)
    status = figures(observation)
    assert (len(status["relays"]), status["relayCount"]) == (64, 70)


def test_a_relay_of_another_pool_adds_nothing(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    other = replace(pool, uid="another")
    status = figures(seen(make_report(other, calls=CallsReport(5, 5, 0, 0, 0, {}))))
    assert "activeCalls" not in status


def test_the_window_s_length_is_the_reports_and_not_the_spec_s(
    seen: Seen, make_pool: MakePool, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    unreadable = make_pool(portRange={"start": 9, "end": 1})
    assert unreadable.spec is None
    report = make_report(unreadable, windows=Windows(probe=make_window(100, 200)))
    status = figures(seen(report, claim=Claim(unreadable, ("a",))))
    assert status["latency"]["probe"]["windowSeconds"] == 60


def test_range_and_echo_are_what_relays_report_and_not_what_the_spec_asks_for(
    seen: Seen, pool: Pool, make_report: MakeReport
) -> None:
    before = structs.replace(
        make_report(pool, generation=2), echo=EchoReport("::1", 4001, "[::1]:4001", reachable=True)
    )
    before = structs.replace(before, ports=PortsReport("9000-9100", 101, 101, 0, 0, 0, 0, 0))
    assert figures(seen(before))["summary"] == {"relays": "0/1", "range": "9000-9100", "echo": "[::1]:4001"}
    rolling = figures(seen(before, make_report(pool)))["summary"]
    assert (rolling["range"], rolling["relays"]) == ("10000-10100,9000-9100", "1/2")
    assert figures(seen(None))["summary"] == {"relays": "0/1"}


@pytest.mark.parametrize("tail", [":4000", "x" * 5000])
def test_addresses_of_the_echo_are_bounded_however_many_relays_resolve_it(
    pool: Pool, make_relay: Callable[..., RelayPod], make_report: MakeReport, tail: str
) -> None:
    relays = [make_relay(f"n{number:03}") for number in range(30)]
    last_reports = {
        relay.uid: LastReport.of(
            make_report(pool, echo=EchoReport("echo", 4000, f"192.0.2.{at}{tail}", reachable=True)), NOW, 0
        )
        for at, relay in enumerate(relays)
    }
    address = figures(observe(Claim(pool, tuple(relay.node for relay in relays)), relays, last_reports, {}, NOW))[
        "echo"
    ]
    assert address["resolvedAddress"].endswith(",+22 more")
    assert len(address["resolvedAddress"]) <= 1024


def test_the_tiers_that_a_relay_can_not_reach_stand_with_its_capacity(
    seen: Seen, pool: Pool, make_report: MakeReport
) -> None:
    verdict = SlaReport(
        "Unknown", "NoCalls", 0, 30, capacity_calls=101, unreachable_tiers=(UnreachableTier(150, "why."),)
    )
    sla = figures(seen(make_report(pool, sla=verdict)))["sla"]
    assert sla["capacityCalls"] == 101
    assert sla["unreachableTiers"] == [{"upToCalls": 150, "reason": "why."}]


def test_a_relay_with_a_word_of_its_own_or_too_many_violations_does_not_spoil_the_status(
    seen: Seen, pool: Pool, make_report: MakeReport, status_schema: dict[str, Any]
) -> None:
    violations = (SlaViolation("x" * 10_000, 1, 2),) * 50
    mad = SlaReport(
        "Violated", "y" * 10_000, 3, violations=violations, unreachable_tiers=(UnreachableTier(1, "z" * 10_000),) * 50
    )
    status = figures(seen(make_report(pool, sla=mad, software_version="v" * 10_000)))
    assert status["sla"]["reason"] == "LimitExceeded"
    jsonschema.validate(status | {"conditions": []}, closed(status_schema))

"""For any reports, every condition is in the table, and Ready claims no more than the reports do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rtppool_core.contract.report import (
    AriReport,
    CallsReport,
    EchoReport,
    PoolReference,
    PortsReport,
    Report,
    SlaReport,
    SlaViolation,
    UnreachableTier,
)
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import Pool, RelayPod
from rtppool_operator.relays.observed import Failure, LastReport, PoolObservation, RelayState, observe
from rtppool_operator.status.conditions import REASONS, Condition, add_times, conditions
from rtppool_operator.status.figures import figures

NOW_SECONDS = 1000.0
TEXTS = st.none() | st.text(max_size=30) | st.just("x" * 5000)
SMALL = st.integers(0, 3)
PORTS = st.builds(
    lambda free, leased, resting, quarantined, draining, span: PortsReport(
        span, free + leased + resting + quarantined, free, leased, resting, quarantined, 0, draining
    ),
    SMALL,
    SMALL,
    SMALL,
    SMALL,
    SMALL,
    st.sampled_from(["10000-10100", "10200-10300"]),
)
ARI = st.builds(
    AriReport,
    st.sampled_from(["Connected", "NotConfigured", "Unreachable", "Unauthorized", "Replaced"]),
    st.just(0),
    reason=TEXTS,
)
ECHO = st.builds(
    EchoReport,
    st.sampled_from(["127.0.0.1", "192.0.2.9"]),
    st.just(4000),
    TEXTS,
    st.sampled_from([True, False, None]),
    TEXTS,
)
SLA = st.builds(
    SlaReport,
    st.sampled_from(["Met", "Violated", "Unknown"]),
    st.sampled_from(["NoCalls", "NoPackets", "TooFewSamples", "WithinLimits", "LimitExceeded", "", "x" * 5000]),
    SMALL,
    violations=st.lists(st.builds(SlaViolation, st.text(max_size=9), SMALL, SMALL), max_size=20).map(tuple),
    capacity_calls=st.none() | SMALL,
    unreachable_tiers=st.lists(st.builds(UnreachableTier, SMALL, st.text(max_size=9)), max_size=10).map(tuple),
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "ready": st.booleans(),
        "not_ready": st.lists(st.text(max_size=9), max_size=2).map(tuple),
        "draining": st.booleans(),
        "ports": PORTS,
        "calls": st.builds(CallsReport, SMALL, SMALL, SMALL, SMALL, SMALL, st.dictionaries(st.text(max_size=5), SMALL)),
        "ari": ARI,
        "echo": ECHO,
        "sla": SLA,
        "pool": st.none() | st.just(PoolReference("other", "voice", "uid-other")),
        "applied_generation": st.none() | st.sampled_from([2, 3]),
        "config_error": TEXTS,
    },
)
FAILURES = st.none() | st.builds(Failure, st.text(max_size=20), st.booleans())
RELAYS = st.lists(
    st.tuples(st.none() | CHANGES, st.sampled_from([0.0, 5.0, 7.0, 900.0]), FAILURES, st.booleans()), max_size=4
)
PAIRS = st.lists(st.tuples(st.sampled_from("xyz"), st.just("voice/other")), max_size=2).map(tuple)
CLAIMED = st.fixed_dictionaries(
    {}, optional={"lost": PAIRS, "wanted_by": PAIRS, "unserved": PAIRS, "without_relay": st.just(("z",))}
)


def observed(
    pool: Pool, make_report: Callable[..., Report], relays: list[Any], claimed: dict[str, Any]
) -> PoolObservation:
    pods, last_reports, failures = [], {}, {}
    for at, (changes, age_seconds, failure, terminating) in enumerate(relays):
        pod = RelayPod(f"relay-{at}", f"uid-{at}", f"node-{at}", "192.0.2.1", 9090, terminating=terminating)
        pods.append(pod)
        if changes is not None:
            last_reports[pod.uid] = LastReport.of(
                replace(make_report(pool), **changes), NOW_SECONDS - age_seconds, 1_700_000_000
            )
        if failure is not None:
            failures[pod.uid] = failure
    claim = Claim(pool, tuple(pod.node for pod in pods), **claimed)
    return observe(claim, pods, last_reports, failures, NOW_SECONDS)


def by_type(observation: PoolObservation) -> dict[str, Condition]:
    return {each.type: each for each in conditions(observation)}


def confirms(observation: PoolObservation, relay: RelayState) -> bool:
    report = relay.report
    return relay.fresh is not None and report is not None and report.ready and observation.runs_current(report)


checked = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@checked
@given(relays=RELAYS, claimed=CLAIMED)
def test_whatever_relays_say_every_condition_is_of_the_table_and_the_status_fits_the_definition(
    pool: Pool,
    make_report: Callable[..., Report],
    definition: dict[str, Any],
    relays: list[Any],
    claimed: dict[str, Any],
) -> None:
    observation = observed(pool, make_report, relays, claimed)
    found = by_type(observation)
    assert list(found) == list(REASONS)
    assert all(REASONS[each.type][each.reason] == each.status for each in found.values())
    status = figures(observation)
    status["conditions"] = add_times(conditions(observation), (), 3, "2026-01-01T00:00:00Z")
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    jsonschema.Draft202012Validator(schema).validate(status)
    capacity = status.get("capacity")
    if capacity:
        assert capacity["total"] == sum(capacity[name] for name in ("free", "allocated", "resting", "quarantined"))


@checked
@given(relays=RELAYS, claimed=CLAIMED)
def test_a_pool_is_ready_only_when_every_relay_that_stays_says_all_of_it_now(
    pool: Pool, make_report: Callable[..., Report], relays: list[Any], claimed: dict[str, Any]
) -> None:
    observation = observed(pool, make_report, relays, claimed)
    ready = by_type(observation)["Ready"]
    if ready.status == "True":
        assert observation.staying
        assert all(confirms(observation, relay) for relay in observation.staying)
        assert all(report.echo.reachable for _, report in observation.serving)
        assert all(report.ari.state in {"Connected", "NotConfigured"} for _, report in observation.serving)
    if not observation.relays:
        assert ready.status == "False"


@checked
@given(relays=RELAYS.filter(bool), claimed=CLAIMED)
def test_the_number_that_confirms_is_never_more_than_those_who_said_so(
    pool: Pool, make_report: Callable[..., Report], relays: list[Any], claimed: dict[str, Any]
) -> None:
    observation = observed(pool, make_report, relays, claimed)
    said = [
        relay
        for relay in observation.staying
        if relay.fresh is not None and relay.report is not None and observation.runs_current(relay.report)
    ]
    assert figures(observation)["summary"]["relays"] == f"{len(said)}/{len(observation.staying)}"

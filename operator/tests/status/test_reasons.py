"""Every reason of every condition has a cause, and there is no other reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from rtppool_core.contract.report import (
    AriReport,
    AriState,
    CallsReport,
    EchoReport,
    PoolReference,
    PortsReport,
    Quarantine,
    Report,
    SlaReport,
    SlaViolation,
    UnreachableTier,
)
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import Pool, RelayPod
from rtppool_operator.pools.trust import PolicyRefusal
from rtppool_operator.relays.observed import Failure, LastReport, PoolObservation, observe
from rtppool_operator.status.conditions import REASONS, conditions
from rtppool_operator.status.figures import figures

NOW = 1000.0
OTHER_POOL = PoolReference("other", "voice", "uid-other")


@dataclass(frozen=True, slots=True)
class World:
    """A pool and its relays, for the scenarios."""

    make_pool: Callable[..., Pool]
    make_report: Callable[..., Report]

    @property
    def pool(self) -> Pool:
        return self.make_pool()

    def report(self, **changes: Any) -> Report:
        return replace(self.make_report(self.pool), **changes)

    def sla(self, result: Any, reason: str, calls: int = 5, **changes: Any) -> Report:
        violations = (SlaViolation("p99Microseconds", 18000, 25000),) if result == "Violated" else ()
        return self.report(sla=SlaReport(result, reason, calls, 30, violations=violations, **changes))

    def seen(
        self,
        *reports: Report | None,
        pool: Pool | None = None,
        failure: Failure | None = None,
        terminating: bool = False,
        **claimed: Any,
    ) -> PoolObservation:
        """Relays on nodes a, b, …; None is a silent one."""
        nodes = tuple("abcdefgh"[: len(reports)])
        pods = [
            RelayPod(f"relay-{node}", f"uid-{node}", node, "192.0.2.1", 9090, terminating=terminating) for node in nodes
        ]
        last_reports = {
            pod.uid: LastReport.of(report, NOW, 0) for pod, report in zip(pods, reports, strict=True) if report
        }
        failures = {pod.uid: failure for pod in pods if failure is not None and pod.uid not in last_reports}
        claim = Claim(pool or self.pool, **{"owned": nodes, **claimed})
        return observe(claim, pods, last_reports, failures, NOW)


Scenario = Callable[[World], PoolObservation]
ANOTHER_VERSION = Failure("192.0.2.1:9090: its report has version 2; accepted is 1", incompatible=True)


def untold(kind: str) -> dict[tuple[str, str], Scenario]:
    return {
        (kind, "NoRelays"): lambda world: world.seen(),
        (kind, "IncompatibleRelay"): lambda world: world.seen(world.report(), None, failure=ANOTHER_VERSION),
        (kind, "RelaySilent"): lambda world: world.seen(world.report(), None),
    }


def unserved(kind: str) -> dict[tuple[str, str], Scenario]:
    return {**untold(kind), (kind, "NotProgrammed"): lambda world: world.seen(world.report(pool=OTHER_POOL))}


def refused(reason: Any) -> Scenario:
    return lambda world: world.seen(refusal=PolicyRefusal(reason, "the chart's value does not list it"))


def ari(state: Any) -> Scenario:
    return lambda world: world.seen(world.report(), world.report(ari=AriReport(state, 0, reason="why")))


def echo(reachable: bool | None) -> Scenario:
    echo = EchoReport("127.0.0.1", 4000, "127.0.0.1:4000", reachable, "why")
    return lambda world: world.seen(world.report(), world.report(echo=echo))


def quarantined(number: int) -> Scenario:
    ports = PortsReport("10000-10100", 101, 101 - number, 0, 0, number, 0, 0, quarantine=(Quarantine(10000, "in use"),))
    return lambda world: world.seen(world.report(), world.report(ports=ports))


ALL_WELL: Scenario = lambda world: world.seen(world.sla("Met", "WithinLimits"))  # noqa: E731 one scenario of many
LOST = (("a", "voice/other"),)

SCENARIOS: Mapping[tuple[str, str], Scenario] = {
    ("Accepted", "Invalid"): lambda world: world.seen(pool=world.make_pool(portRange={"start": 9, "end": 1})),
    ("Accepted", "NamespaceNotHonoured"): refused("NamespaceNotHonoured"),
    ("Accepted", "NotAllowed"): refused("NotAllowed"),
    ("Accepted", "Conflicted"): lambda world: world.seen(lost=LOST),
    ("Accepted", "NoAddress"): lambda world: world.seen(None, owned=(), unserved=(("a", "no ExternalIP"),)),
    ("Accepted", "Accepted"): ALL_WELL,
    ("Conflicted", "NodeOwned"): lambda world: world.seen(world.report(), lost=(("b", "voice/other"),)),
    ("Conflicted", "Preferred"): lambda world: world.seen(world.report(), wanted_by=LOST),
    ("Conflicted", "NoConflict"): ALL_WELL,
    ("Programmed", "Paused"): lambda world: world.seen(
        world.report(applied_generation=2), pool=world.make_pool(paused=True)
    ),
    ("Programmed", "ConfigRefused"): lambda world: world.seen(
        world.report(), world.report(applied_generation=2, config_error="why")
    ),
    ("Programmed", "Pending"): lambda world: world.seen(world.report(), world.report(applied_generation=2)),
    **untold("Programmed"),
    ("Programmed", "MissingRelay"): lambda world: world.seen(world.report(), without_relay=("b",)),
    ("Programmed", "Programmed"): ALL_WELL,
    ("PortsAvailable", "None"): quarantined(101),
    ("PortsAvailable", "Partial"): quarantined(1),
    **unserved("PortsAvailable"),
    ("PortsAvailable", "Available"): ALL_WELL,
    ("EchoReachable", "Unreachable"): echo(reachable=False),
    **unserved("EchoReachable"),
    ("EchoReachable", "NothingSent"): echo(reachable=None),
    ("EchoReachable", "Reachable"): ALL_WELL,
    **{("AsteriskConnected", state): ari(state) for state in ("Unreachable", "Unauthorized", "Replaced")},
    **unserved("AsteriskConnected"),
    ("AsteriskConnected", "NotConfigured"): ari("NotConfigured"),
    ("AsteriskConnected", "Connected"): ALL_WELL,
    ("SLAMet", "LimitExceeded"): lambda world: world.seen(world.sla("Violated", "LimitExceeded")),
    **unserved("SLAMet"),
    ("SLAMet", "NoPackets"): lambda world: world.seen(world.sla("Unknown", "NoPackets")),
    ("SLAMet", "TooFewSamples"): lambda world: world.seen(world.sla("Unknown", "TooFewSamples")),
    ("SLAMet", "NotMeasured"): lambda world: world.seen(world.sla("Unknown", "NotMeasured", missing=("maxLatePpm",))),
    ("SLAMet", "NotJudged"): lambda world: world.seen(world.sla("Unknown", "FullMoon")),
    ("SLAMet", "NoCalls"): lambda world: world.seen(world.sla("Unknown", "NoCalls", calls=0)),
    ("SLAMet", "WithinLimits"): ALL_WELL,
    ("Draining", "RelayStopping"): lambda world: world.seen(world.report(draining=True)),
    ("Draining", "CallsOutsideRange"): lambda world: world.seen(
        world.report(ports=PortsReport("10000-10100", 101, 101, 0, 0, 0, 0, draining=2))
    ),
    **unserved("Draining"),
    ("Draining", "NotDraining"): ALL_WELL,
    ("Ready", "Invalid"): lambda world: world.seen(pool=world.make_pool(portRange={"start": 9, "end": 1})),
    ("Ready", "NamespaceNotHonoured"): refused("NamespaceNotHonoured"),
    ("Ready", "NotAllowed"): refused("NotAllowed"),
    ("Ready", "Conflicted"): lambda world: world.seen(lost=LOST),
    ("Ready", "NoAddress"): lambda world: world.seen(None, owned=(), unserved=(("a", "no ExternalIP"),)),
    ("Ready", "Paused"): lambda world: world.seen(
        world.report(applied_generation=2), pool=world.make_pool(paused=True)
    ),
    ("Ready", "ConfigRefused"): lambda world: world.seen(world.report(applied_generation=2, config_error="why")),
    ("Ready", "Pending"): lambda world: world.seen(world.report(applied_generation=2)),
    ("Ready", "MissingRelay"): lambda world: world.seen(world.report(), without_relay=("b",)),
    **untold("Ready"),
    ("Ready", "None"): quarantined(101),
    ("Ready", "NothingSent"): echo(reachable=None),
    **{("Ready", state): ari(state) for state in ("Unreachable", "Unauthorized", "Replaced")},
    ("Ready", "RelayNotReady"): lambda world: world.seen(
        world.report(), world.report(ready=False, not_ready=("0 of 1 media processes are up",))
    ),
    ("Ready", "Ready"): ALL_WELL,
}
PAIRS = [(kind, reason) for kind, reasons in REASONS.items() for reason in reasons]


@pytest.fixture
def world(make_pool: Callable[..., Pool], make_report: Callable[..., Report]) -> World:
    return World(make_pool, make_report)


@pytest.mark.parametrize(("kind", "reason"), PAIRS, ids="/".join)
def test_every_reason_has_a_cause_and_means_the_status_of_the_table(world: World, kind: str, reason: str) -> None:
    found = {each.type: each for each in conditions(SCENARIOS[kind, reason](world))}[kind]
    assert (found.reason, found.status) == (reason, REASONS[kind][reason])
    assert found.message


def test_nothing_but_the_table_comes_out_of_any_scenario(world: World) -> None:
    produced = {(each.type, each.reason) for scenario in SCENARIOS.values() for each in conditions(scenario(world))}
    assert produced == set(PAIRS)


def test_every_state_of_the_connection_to_asterisk_is_a_reason() -> None:
    assert set(get_args(AriState)) <= set(REASONS["AsteriskConnected"])


def test_a_pool_has_every_condition_of_the_table_and_ready_is_the_last(world: World) -> None:
    found = [each.type for each in conditions(ALL_WELL(world))]
    assert found == list(REASONS)
    assert found[-1] == "Ready"


def message(observation: PoolObservation, kind: str) -> str:
    return {each.type: each.message for each in conditions(observation)}[kind]


def test_relays_that_are_being_deleted_are_not_waited_for(world: World) -> None:
    leaving = world.seen(world.report(applied_generation=2), terminating=True)
    assert message(leaving, "Programmed") == "the relays of this pool are being deleted: a"
    assert "appliedGeneration" not in figures(leaving)


def test_the_calls_of_a_relay_that_is_being_deleted_are_counted(world: World) -> None:
    calls = CallsReport(7, 9, 2, 0, 0, {})
    leaving = world.seen(world.report(draining=True, calls=calls), terminating=True)
    assert message(leaving, "Draining") == "relays that are being stopped take no new calls: a (7 calls left)"
    assert figures(leaving)["activeCalls"] == 7


def test_a_silent_relay_is_not_counted_among_those_that_confirm(world: World) -> None:
    behind = world.report(applied_generation=2)
    programmed = message(world.seen(world.report(), behind, None), "Programmed")
    assert programmed == "1 of 3 relays run this generation; b runs generation 2; if this persists, see its log"
    broken = world.report(ari=AriReport("Unreachable", 0, reason="why"))
    connected = message(world.seen(world.report(), broken, None), "AsteriskConnected")
    assert connected == "1 of 3 relays are connected to Asterisk; b: why"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ports": PortsReport("10200-10300", 101, 101, 0, 0, 0, 0, 0)}, "10200-10300 with echo 127.0.0.1:4000"),
        ({"echo": EchoReport("192.0.2.9", 4000, None, reachable=True)}, "10000-10100 with echo 192.0.2.9:4000"),
        ({"echo": EchoReport("127.0.0.1", 4001, None, reachable=True)}, "10000-10100 with echo 127.0.0.1:4001"),
    ],
)
def test_the_right_generation_with_another_range_or_echo_is_not_programmed(
    world: World, changes: dict[str, Any], told: str
) -> None:
    edited_by_hand = world.seen(world.report(**changes))
    assert {each.type: each.status for each in conditions(edited_by_hand)}["Programmed"] == "False"
    assert message(edited_by_hand, "Programmed") == (
        f"0 of 1 relays run this generation; a runs {told}, unlike the spec; if this persists, see its log"
    )


@pytest.mark.parametrize(
    ("spec", "claimed", "told"),
    [
        ({}, {}, "no node runs a relay; check the relay DaemonSet"),
        (
            {"nodeSelector": {"zone": "a"}},
            {},
            "no node has the labels of nodeSelector; label nodes, or correct nodeSelector",
        ),
        (
            {"nodeSelector": {"zone": "a"}},
            {"without_relay": ("n1", "n2")},
            "this pool's nodes run no relay: n1; n2; check the relay DaemonSet",
        ),
        ({}, {"lost": LOST}, "other pools own every node that this pool claims; see Conflicted"),
    ],
)
def test_no_relays_says_why_there_are_none(
    world: World, spec: dict[str, Any], claimed: dict[str, Any], told: str
) -> None:
    assert message(world.seen(pool=world.make_pool(**spec), **claimed), "Programmed") == told


def test_the_calls_that_drain_are_counted_in_all_and_by_node(world: World) -> None:
    def draining(calls: int) -> Report:
        return world.report(ports=PortsReport("10000-10100", 101, 101, 0, 0, 0, 0, draining=calls))

    assert (
        message(world.seen(draining(2), draining(1)), "Draining")
        == "3 calls live on ports outside the range until their end: a (2); b (1)"
    )
    assert (
        message(world.seen(draining(1)), "Draining") == "1 call lives on a port outside the range until its end: a (1)"
    )


def test_tiers_out_of_reach_are_named_with_the_verdict(world: World) -> None:
    tiers = (UnreachableTier(150, "why"),)
    for result, reason in (("Met", "WithinLimits"), ("Unknown", "NoCalls"), ("Violated", "LimitExceeded")):
        seen = world.seen(world.sla(result, reason, capacity_calls=101, unreachable_tiers=tiers))
        assert message(seen, "SLAMet").endswith(
            "; tiers up to 150 calls are out of reach, a relay has at most 101; see status.sla"
        )


def test_what_a_relay_says_at_length_is_cut(world: World) -> None:
    endless = world.seen(*[world.report(ari=AriReport("Unreachable", 0, reason="x" * 10**6)) for _ in range(8)])
    assert all(len(each.message) < 4096 for each in conditions(endless))


def test_a_relay_that_can_not_take_calls_makes_the_pool_not_ready_and_says_why(world: World) -> None:
    seen = world.seen(world.report(), world.report(ready=False, not_ready=("0 of 1 media processes are up",)))
    assert message(seen, "Ready") == "1 of 2 relays can take calls; b: 0 of 1 media processes are up"


def test_a_refused_pool_says_whether_relays_keep_its_last_entry(world: World) -> None:
    refusal = PolicyRefusal("NamespaceNotHonoured", "pools of namespace tenant are not honoured")
    messages = [
        next(each.message for each in conditions(observation) if each.type == "Accepted")
        for observation in (world.seen(refusal=refusal), world.seen(world.report(), refusal=refusal))
    ]
    kept = "; its relays keep their last configuration until it is deleted or accepted"
    assert messages == [refusal.message, refusal.message + kept]


def test_a_refused_pool_without_an_entry_learns_nothing_of_the_cluster(world: World) -> None:
    refusal = PolicyRefusal("NamespaceNotHonoured", "pools of namespace tenant are not honoured")
    found = {each.type: each for each in conditions(world.seen(refusal=refusal))}
    assert found["Programmed"].message == "the operator does not apply this pool; see Accepted"
    assert found["Conflicted"].reason == "NoConflict"

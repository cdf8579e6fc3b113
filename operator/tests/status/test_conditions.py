"""Conditions from relay reports. test_reasons.py has each reason by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rtppool_core.contract.report import (
    AriReport,
    EchoReport,
    PortsReport,
    Quarantine,
    Report,
    SlaReport,
    SlaViolation,
)
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import Pool
from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.conditions import add_times, conditions
from rtppool_operator.status.figures import figures

MakePool = Callable[..., Pool]
MakeReport = Callable[..., Report]
NOW = 1000.0


def status_of(observation: PoolObservation, kind: str) -> tuple[str, str]:
    found = {each.type: each for each in conditions(observation)}[kind]
    return found.status, found.reason


def message_of(observation: PoolObservation, kind: str) -> str:
    return {each.type: each.message for each in conditions(observation)}[kind]


Seen = Callable[..., PoolObservation]


def test_a_pool_whose_relays_all_say_so_is_ready(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    observation = seen(make_report(pool), make_report(pool))
    assert status_of(observation, "Ready") == ("True", "Ready")
    assert status_of(observation, "Programmed") == ("True", "Programmed")
    assert message_of(observation, "Programmed") == "2 of 2 relays run this generation"
    assert figures(observation)["appliedGeneration"] == 3


def test_without_relays_nothing_is_known_and_ready_is_false(seen: Seen) -> None:
    observation = seen()
    assert status_of(observation, "Programmed") == ("Unknown", "NoRelays")
    assert status_of(observation, "EchoReachable") == ("Unknown", "NoRelays")
    assert status_of(observation, "Ready") == ("False", "NoRelays")
    assert "capacity" not in figures(observation)
    assert "activeCalls" not in figures(observation)


def test_one_relay_behind_is_counted_and_named(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    observation = seen(make_report(pool), make_report(pool, generation=2))
    assert status_of(observation, "Programmed") == ("False", "Pending")
    assert message_of(observation, "Programmed") == (
        "1 of 2 relays run this generation; b runs generation 2; if this persists, see its log"
    )
    assert status_of(observation, "Ready") == ("False", "Pending")
    assert figures(observation)["appliedGeneration"] == 2


def test_a_relay_that_refuses_the_configuration_says_why(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    observation = seen(make_report(pool, generation=2, config_error="echo.port is 0; accepted is 1 to 65535"))
    assert "echo.port is 0" in message_of(observation, "Programmed")


def test_what_was_written_is_not_what_is_programmed(seen: Seen, make_report: MakeReport) -> None:
    observation = seen(make_report())
    assert status_of(observation, "Programmed") == ("False", "Pending")
    assert "its environment" in message_of(observation, "Programmed")
    assert "appliedGeneration" not in figures(observation)


def test_a_report_older_than_three_polls_makes_unknown_what_rests_on_it(
    seen: Seen, pool: Pool, make_report: MakeReport
) -> None:
    fresh, stale = seen(make_report(pool), at=NOW - 5.9), seen(make_report(pool), at=NOW - 6.1)
    assert status_of(fresh, "Ready") == ("True", "Ready")
    for kind in ("Programmed", "PortsAvailable", "EchoReachable", "AsteriskConnected", "Ready"):
        assert status_of(stale, kind) == ("Unknown", "RelaySilent")
    row = figures(stale)["relays"][0]
    assert row["silentSince"] == "2023-11-14T22:13:20Z"
    assert row["ready"] is False
    assert "activeCalls" not in row


def test_a_silent_relay_does_not_hide_that_another_says_no(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    assert status_of(seen(None, make_report(pool, generation=1)), "Programmed") == ("False", "Pending")


def test_an_echo_that_does_not_answer_is_named_with_its_node(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    broken = EchoReport("127.0.0.1", 4000, "127.0.0.1:4000", reachable=False, reason="no packet came back")
    observation = seen(make_report(pool), make_report(pool, echo=broken))
    assert status_of(observation, "EchoReachable") == ("False", "Unreachable")
    assert message_of(observation, "EchoReachable") == (
        "b: no packet came back; check echo.host, echo.port and firewalls for UDP"
    )
    assert status_of(observation, "Ready") == ("False", "Unreachable")


def test_an_echo_to_which_nothing_was_sent_is_unknown(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    unsure = EchoReport("127.0.0.1", 4000, None, reachable=None, reason="nothing was sent to the echo yet")
    assert status_of(seen(make_report(pool, echo=unsure)), "EchoReachable") == ("Unknown", "NothingSent")


def test_without_asterisk_credentials_a_pool_is_ready_all_the_same(
    seen: Seen, pool: Pool, make_report: MakeReport
) -> None:
    observation = seen(make_report(pool, ari=AriReport("NotConfigured", 0, reason="ARI_USER is not set")))
    assert status_of(observation, "AsteriskConnected") == ("False", "NotConfigured")
    assert status_of(observation, "Ready") == ("True", "Ready")


@pytest.mark.parametrize("state", ["Unreachable", "Unauthorized", "Replaced"])
def test_a_broken_connection_to_asterisk_is_not_ready_and_says_why(
    seen: Seen, pool: Pool, make_report: MakeReport, state: Any
) -> None:
    observation = seen(make_report(pool), make_report(pool, ari=AriReport(state, 1, reason="the reason")))
    assert status_of(observation, "AsteriskConnected") == ("False", state)
    assert message_of(observation, "AsteriskConnected") == "1 of 2 relays are connected to Asterisk; b: the reason"
    assert status_of(observation, "Ready") == ("False", state)


def test_some_ports_that_do_not_bind_are_told_and_do_not_stop_the_pool(
    seen: Seen, pool: Pool, make_report: MakeReport
) -> None:
    ports = PortsReport("10000-10100", 101, 100, 0, 0, 1, 0, 0, quarantine=(Quarantine(10007, "in use by pid 4"),))
    observation = seen(make_report(pool, ports=ports))
    assert status_of(observation, "PortsAvailable") == ("False", "Partial")
    assert "in use by pid 4" in message_of(observation, "PortsAvailable")
    assert status_of(observation, "Ready") == ("True", "Ready")


def test_no_port_at_all_stops_the_pool(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    ports = PortsReport("10000-10100", 101, 0, 0, 0, 101, 0, 0)
    observation = seen(make_report(pool), make_report(pool, ports=ports))
    assert status_of(observation, "PortsAvailable") == ("False", "None")
    assert status_of(observation, "Ready") == ("False", "None")


def test_the_worst_relay_s_verdict_is_the_pool_s_and_is_named(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    violated = SlaReport("Violated", "LimitExceeded", 9, 30, False, (SlaViolation("p99Microseconds", 18000, 25000),))
    met = SlaReport("Met", "WithinLimits", 90, 100)
    observation = seen(make_report(pool, sla=met), make_report(pool, sla=violated), make_report(pool))
    assert status_of(observation, "SLAMet") == ("False", "LimitExceeded")
    assert message_of(observation, "SLAMet") == "b (relay-b) exceeds p99Microseconds; see status.sla"
    sla = figures(observation)["sla"]
    assert (sla["result"], sla["node"], sla["tierUpToCalls"]) == ("Violated", "b", 30)


def test_a_relay_without_calls_does_not_hide_that_the_others_meet_theirs(
    seen: Seen, pool: Pool, make_report: MakeReport
) -> None:
    met = SlaReport("Met", "WithinLimits", 90, 100)
    assert status_of(seen(make_report(pool), make_report(pool, sla=met)), "SLAMet") == ("True", "WithinLimits")


def test_without_calls_the_verdict_is_unknown(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    assert status_of(seen(make_report(pool)), "SLAMet") == ("Unknown", "NoCalls")


def test_calls_outside_the_range_are_draining(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    ports = PortsReport("10000-10100", 101, 101, 0, 0, 0, 0, draining=2)
    assert status_of(seen(make_report(pool, ports=ports)), "Draining") == ("True", "CallsOutsideRange")
    assert status_of(seen(make_report(pool, draining=True)), "Draining") == ("True", "RelayStopping")
    assert status_of(seen(make_report(pool)), "Draining") == ("False", "NotDraining")


def test_a_pool_that_lost_all_its_nodes_is_not_accepted(seen: Seen, pool: Pool) -> None:
    observation = seen(claim=Claim(pool, (), (("a", "voice/older"),)))
    assert status_of(observation, "Accepted") == ("False", "Conflicted")
    assert status_of(observation, "Conflicted") == ("True", "NodeOwned")
    assert "voice/older" in message_of(observation, "Accepted")
    assert status_of(observation, "Ready") == ("False", "Conflicted")


def test_a_pool_that_lost_some_nodes_runs_on_the_rest(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    observation = seen(make_report(pool), claim=Claim(pool, ("a",), (("b", "voice/older"),)))
    assert status_of(observation, "Accepted") == ("True", "Accepted")
    assert status_of(observation, "Conflicted") == ("True", "NodeOwned")
    assert status_of(observation, "Ready") == ("True", "Ready")


def test_a_spec_that_can_not_be_read_is_not_accepted(seen: Seen, make_pool: MakePool) -> None:
    broken = make_pool(portRange={"start": 9, "end": 1})
    assert status_of(seen(claim=Claim(broken)), "Accepted") == ("False", "Invalid")


def test_a_paused_pool_says_that_relays_keep_what_they_had(
    seen: Seen, make_pool: MakePool, make_report: MakeReport
) -> None:
    paused = make_pool(paused=True)
    observation = seen(make_report(paused, generation=2), claim=Claim(paused, ("a",)))
    assert status_of(observation, "Programmed") == ("False", "Paused")


def test_the_transition_time_moves_only_with_the_status(seen: Seen, pool: Pool, make_report: MakeReport) -> None:
    ready = conditions(seen(make_report(pool)))
    first = add_times(ready, (), 3, "2026-01-01T00:00:00Z")
    again = add_times(ready, first, 4, "2026-01-01T00:05:00Z")
    assert {row["lastTransitionTime"] for row in again} == {"2026-01-01T00:00:00Z"}
    later = add_times(conditions(seen(None)), again, 4, "2026-01-01T00:09:00Z")
    moved = {row["type"] for row in later if row["lastTransitionTime"] == "2026-01-01T00:09:00Z"}
    assert {"Ready", "Programmed"} <= moved
    assert "Accepted" not in moved

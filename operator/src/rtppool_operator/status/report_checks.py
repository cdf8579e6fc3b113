"""PortsAvailable, EchoReachable, AsteriskConnected, SLAMet and Draining: the conditions from reports of the pool."""

from __future__ import annotations

from collections.abc import Iterable

from rtppool_core.contract.report import Report, SlaReport
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.relays.observed import PoolObservation, judged_reason, worst_relay
from rtppool_operator.status.host_share import describe_host_share
from rtppool_operator.status.reasons import Check, Condition, join_first, make_condition
from rtppool_operator.status.relay_checks import unserved
from rtppool_operator.status.text import shorten


def _no_port(observation: PoolObservation) -> Condition | None:
    without = [pod.node for pod, report in observation.serving if report.ports.total <= report.ports.quarantined]
    if not without:
        return None
    remedy = "move the range, or stop the program that uses the ports"
    return make_condition("PortsAvailable", "None", f"no port can be bound on {join_first(without)}; {remedy}")


def _some_ports(observation: PoolObservation) -> Condition | None:
    short = [(pod, report) for pod, report in observation.serving if report.ports.quarantined]
    if not short:
        return None
    names = join_first([f"{pod.node} ({_first_quarantine(report)})" for pod, report in short])
    remedy = "add them to excludedPorts, or stop the program that uses them"
    return make_condition("PortsAvailable", "Partial", f"some ports can't be bound on {names}; {remedy}")


def _first_quarantine(report: Report) -> str:
    first = report.ports.quarantine[0].reason if report.ports.quarantine else None
    return f"{report.ports.quarantined} ports, the first: {shorten(first)}"


def _ports_available(observation: PoolObservation) -> Condition:
    del observation
    return make_condition("PortsAvailable", "Available", "every port of the range can be bound")


def _echo_unreachable(observation: PoolObservation) -> Condition | None:
    silent = [(pod, report) for pod, report in observation.serving if report.echo.reachable is False]
    if not silent:
        return None
    remedy = "check echo.host, echo.port and firewalls for UDP"
    return make_condition("EchoReachable", "Unreachable", f"{_echoes(silent)}; {remedy}")


def _nothing_sent(observation: PoolObservation) -> Condition | None:
    unsure = [(pod, report) for pod, report in observation.serving if report.echo.reachable is None]
    return make_condition("EchoReachable", "NothingSent", _echoes(unsure)) if unsure else None


def _echoes(relays: Iterable[tuple[RelayPod, Report]]) -> str:
    return join_first([f"{pod.node}: {shorten(report.echo.reason)}" for pod, report in relays])


def _echo_reachable(observation: PoolObservation) -> Condition:
    del observation
    return make_condition("EchoReachable", "Reachable", "the echo answers every relay")


def _asterisk_broken(observation: PoolObservation) -> Condition | None:
    states = [(pod, report.ari) for pod, report in observation.serving]
    broken = [(pod, ari) for pod, ari in states if ari.state not in {"Connected", "NotConfigured"}]
    if not broken:
        return None
    names = join_first([f"{pod.node}: {shorten(ari.reason)}" for pod, ari in broken])
    connected = f"{len(states) - len(broken)} of {len(observation.relays)} relays are connected to Asterisk"
    return make_condition("AsteriskConnected", broken[0][1].state, f"{connected}; {names}")


def _asterisk_not_configured(observation: PoolObservation) -> Condition | None:
    without = [(pod, report.ari) for pod, report in observation.serving if report.ari.state == "NotConfigured"]
    if not without:
        return None
    names = join_first([pod.node for pod, _ in without])
    return make_condition("AsteriskConnected", "NotConfigured", f"{names}: {shorten(without[0][1].reason)}")


def _asterisk_connected(observation: PoolObservation) -> Condition:
    del observation
    return make_condition("AsteriskConnected", "Connected", "every relay is connected to its Asterisk")


def _limit_exceeded(observation: PoolObservation) -> Condition | None:
    worst = worst_relay(observation.serving)
    if worst is None or worst[1].result != "Violated":
        return None
    pod, verdict = worst
    limits = join_first([shorten(violation.limit) for violation in verdict.violations], ", ")
    message = _with_unreachable_tiers(f"{pod.node} ({pod.name}) exceeds {limits}; see status.sla", verdict)
    return make_condition("SLAMet", judged_reason(verdict), message + describe_host_share(observation))


_UNJUDGED = {
    "NoCalls": "no call is active; the probe is not judged",
    "TooFewSamples": "the window has fewer round trips of calls than sla.minSamples",
    "NotMeasured": "limits were not measured",
    "NoPackets": "calls are active, but none of their packets is answered or lost yet",
}


def _unjudged(observation: PoolObservation) -> Condition | None:
    worst = worst_relay(observation.serving)
    if worst is None or worst[1].result != "Unknown":
        return None
    pod, verdict = worst
    reason = judged_reason(verdict)
    message = _UNJUDGED.get(reason, f"the relay gives no verdict: {shorten(verdict.reason)}")
    if verdict.missing:
        limits = join_first([shorten(limit) for limit in verdict.missing], ", ")
        message = f"{message}; {pod.node} ({pod.name}) lacks figures for {limits}"
    return make_condition("SLAMet", reason, _with_unreachable_tiers(message, verdict))


def _within_limits(observation: PoolObservation) -> Condition:
    message = "every relay with calls meets its limits"
    worst = worst_relay(observation.serving)
    message = _with_unreachable_tiers(message, worst[1]) if worst else message
    return make_condition("SLAMet", "WithinLimits", message + describe_host_share(observation))


def _with_unreachable_tiers(message: str, verdict: SlaReport) -> str:
    """Add the tiers that no number of calls can reach: a mistake in the spec that is visible here alone."""
    if not verdict.unreachable_tiers:
        return message
    tiers = join_first([str(tier.up_to_calls) for tier in verdict.unreachable_tiers], ", ")
    limit = "" if verdict.capacity_calls is None else f", a relay has at most {verdict.capacity_calls}"
    return f"{message}; tiers up to {tiers} calls are out of reach{limit}; see status.sla"


def _relay_stopping(observation: PoolObservation) -> Condition | None:
    stopping = [(pod, report) for pod, report in observation.serving if report.draining]
    if not stopping:
        return None
    names = join_first([f"{pod.node} ({_calls(report.calls.active)} left)" for pod, report in stopping])
    return make_condition("Draining", "RelayStopping", f"relays that are being stopped take no new calls: {names}")


def _calls_outside_range(observation: PoolObservation) -> Condition | None:
    outside = [(pod, report) for pod, report in observation.serving if report.ports.draining]
    if not outside:
        return None
    left = sum(report.ports.draining for _, report in outside)
    names = join_first([f"{pod.node} ({report.ports.draining})" for pod, report in outside])
    live, its = ("lives on a port", "its") if left == 1 else ("live on ports", "their")
    message = f"{_calls(left)} {live} outside the range until {its} end: {names}"
    return make_condition("Draining", "CallsOutsideRange", message)


def _not_draining(observation: PoolObservation) -> Condition:
    del observation
    return make_condition("Draining", "NotDraining", "no call is outside the range, and no relay is being stopped")


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"


PORTS_AVAILABLE: tuple[Check, ...] = (_no_port, _some_ports, *unserved("PortsAvailable"), _ports_available)
ECHO_REACHABLE: tuple[Check, ...] = (_echo_unreachable, *unserved("EchoReachable"), _nothing_sent, _echo_reachable)
ASTERISK_CONNECTED: tuple[Check, ...] = (
    _asterisk_broken,
    *unserved("AsteriskConnected"),
    _asterisk_not_configured,
    _asterisk_connected,
)
SLA_MET: tuple[Check, ...] = (_limit_exceeded, *unserved("SLAMet"), _unjudged, _within_limits)
DRAINING: tuple[Check, ...] = (_relay_stopping, _calls_outside_range, *unserved("Draining"), _not_draining)

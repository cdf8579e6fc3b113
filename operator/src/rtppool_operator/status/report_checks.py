"""PortsAvailable, EchoReachable, AsteriskConnected, SLAMet and Draining: the conditions from reports of the pool."""

from __future__ import annotations

from collections.abc import Iterable

from rtppool_core.contract.report import AriState, Report, SlaReport
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.relays.observed import PoolObservation, judged_reason, worst_relay
from rtppool_operator.status.host_share import describe_host_share
from rtppool_operator.status.reasons import Reason, join_first, otherwise, reason
from rtppool_operator.status.relay_checks import UNSERVED
from rtppool_operator.status.text import shorten


@reason("None", "False", "Another program uses the ports, and the message names the first. Move the range.")
def _no_port(observation: PoolObservation) -> str | None:
    without = [pod.node for pod, report in observation.serving if report.ports.total <= report.ports.quarantined]
    remedy = "move the range, or stop the program that uses the ports"
    return f"no port can be bound on {join_first(without)}; {remedy}" if without else None


@reason("Partial", "False", "Add them to excludedPorts, or stop the program that uses them.")
def _some_ports(observation: PoolObservation) -> str | None:
    short = [f"{pod.node} ({_quarantine(report)})" for pod, report in observation.serving if report.ports.quarantined]
    remedy = "add them to excludedPorts, or stop the program that uses them"
    return f"some ports can't be bound on {join_first(short)}; {remedy}" if short else None


def _quarantine(report: Report) -> str:
    first = report.ports.quarantine[0].reason if report.ports.quarantine else None
    return f"{report.ports.quarantined} ports, the first: {shorten(first)}"


@reason("Unreachable", "False", "Check the echo's pod, echo.host and echo.port, and firewalls for UDP.")
def _echo_unreachable(observation: PoolObservation) -> str | None:
    silent = [(pod, report) for pod, report in observation.serving if report.echo.reachable is False]
    return f"{_echoes(silent)}; check echo.host, echo.port and firewalls for UDP" if silent else None


@reason("NothingSent", "Unknown", "Switch the probe on, or correct echo.host.")
def _nothing_sent(observation: PoolObservation) -> str | None:
    unsure = [(pod, report) for pod, report in observation.serving if report.echo.reachable is None]
    return _echoes(unsure) if unsure else None


def _echoes(relays: Iterable[tuple[RelayPod, Report]]) -> str:
    return join_first([f"{pod.node}: {shorten(report.echo.reason)}" for pod, report in relays])


def _asterisk_broken(state: AriState, remedy: str) -> Reason:
    @reason(state, "False", remedy)
    def broken(observation: PoolObservation) -> str | None:
        states = [(pod, report.ari) for pod, report in observation.serving]
        others = [(pod, ari) for pod, ari in states if ari.state not in {"Connected", "NotConfigured"}]
        if not others or others[0][1].state != state:
            return None
        names = join_first([f"{pod.node}: {shorten(ari.reason)}" for pod, ari in others])
        return f"{len(states) - len(others)} of {len(observation.relays)} relays are connected to Asterisk; {names}"

    return broken


@reason("NotConfigured", "False", "Set ari.existingSecret once there is an Asterisk, see docs/asterisk.md.")
def _asterisk_not_configured(observation: PoolObservation) -> str | None:
    without = [(pod, report.ari) for pod, report in observation.serving if report.ari.state == "NotConfigured"]
    if not without:
        return None
    return f"{join_first([pod.node for pod, _ in without])}: {shorten(without[0][1].reason)}"


@reason(
    "LimitExceeded",
    "False",
    "status.sla has relay, limit and figure. The relay's /sla page has the cause. See docs/sla.md.",
)
def _limit_exceeded(observation: PoolObservation) -> str | None:
    worst = worst_relay(observation.serving)
    if worst is None or worst[1].result != "Violated":
        return None
    pod, verdict = worst
    limits = join_first([shorten(violation.limit) for violation in verdict.violations], ", ")
    message = _with_unreachable_tiers(f"{pod.node} ({pod.name}) exceeds {limits}; see status.sla", verdict)
    return message + describe_host_share(observation)


def _unjudged(name: str, text: str = "", remedy: str = "") -> Reason:
    @reason(name, "Unknown", remedy)
    def unjudged(observation: PoolObservation) -> str | None:
        worst = worst_relay(observation.serving)
        if worst is None or judged_reason(worst[1]) != name:
            return None
        pod, verdict = worst
        message = text or f"the relay gives no verdict: {shorten(verdict.reason)}"
        if verdict.missing:
            limits = join_first([shorten(limit) for limit in verdict.missing], ", ")
            message = f"{message}; {pod.node} ({pod.name}) lacks figures for {limits}"
        return _with_unreachable_tiers(message, verdict)

    return unjudged


@reason("WithinLimits", "True")
def _within_limits(observation: PoolObservation) -> str:
    message = "every relay with calls meets its limits"
    worst = worst_relay(observation.serving)
    message = _with_unreachable_tiers(message, worst[1]) if worst else message
    return message + describe_host_share(observation)


def _with_unreachable_tiers(message: str, verdict: SlaReport) -> str:
    """Add the tiers that no number of calls can reach: a mistake in the spec that is visible here alone."""
    if not verdict.unreachable_tiers:
        return message
    tiers = join_first([str(tier.up_to_calls) for tier in verdict.unreachable_tiers], ", ")
    limit = "" if verdict.capacity_calls is None else f", a relay has at most {verdict.capacity_calls}"
    return f"{message}; tiers up to {tiers} calls are out of reach{limit}; see status.sla"


@reason(
    "RelayStopping",
    "True",
    "Wait: they end at the latest after drain.timeoutSeconds or the pod's grace period. "
    "With relay.onStop=HandOver the next relay on the node adopts them.",
)
def _relay_stopping(observation: PoolObservation) -> str | None:
    stopping = [
        f"{pod.node} ({_calls(report.calls.active)} left)" for pod, report in observation.serving if report.draining
    ]
    return f"relays that are being stopped take no new calls: {join_first(stopping)}" if stopping else None


@reason("CallsOutsideRange", "True", "Wait until they end. No call is cut.")
def _calls_outside_range(observation: PoolObservation) -> str | None:
    outside = [(pod, report.ports.draining) for pod, report in observation.serving if report.ports.draining]
    if not outside:
        return None
    left = sum(calls for _, calls in outside)
    names = join_first([f"{pod.node} ({calls})" for pod, calls in outside])
    live, its = ("lives on a port", "its") if left == 1 else ("live on ports", "their")
    return f"{_calls(left)} {live} outside the range until {its} end: {names}"


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"


PORTS_AVAILABLE = (
    _no_port,
    _some_ports,
    *UNSERVED,
    otherwise("Available", "True", "every port of the range can be bound"),
)
ECHO_REACHABLE = (
    _echo_unreachable,
    *UNSERVED,
    _nothing_sent,
    otherwise("Reachable", "True", "the echo answers every relay"),
)
ASTERISK_CONNECTED = (
    _asterisk_broken("Unreachable", "Check Asterisk, its http.conf, and the chart's ari.url."),
    _asterisk_broken("Unauthorized", "Compare the Secret with ari.conf."),
    _asterisk_broken("Replaced", "Stop that program: an application has one subscriber."),
    *UNSERVED,
    _asterisk_not_configured,
    otherwise("Connected", "True", "every relay is connected to its Asterisk"),
)
SLA_MET = (
    _limit_exceeded,
    *UNSERVED,
    _unjudged(
        "NoPackets",
        "calls are active, but none of their packets is answered or lost yet",
        "Wait 5 s. If it persists, Asterisk sends no packets: see the relay's /calls.",
    ),
    _unjudged(
        "TooFewSamples",
        "the window has fewer round trips of calls than sla.minSamples",
        "Wait, or lower sla.minSamples.",
    ),
    _unjudged("NotMeasured", "limits were not measured", "See the relay's /sla and /calls."),
    _unjudged("NotJudged", remedy="The message has the relay's reason. Upgrade the operator."),
    _unjudged("NoCalls", "no call is active; the probe is not judged"),
    _within_limits,
)
DRAINING = (
    _relay_stopping,
    _calls_outside_range,
    *UNSERVED,
    otherwise("NotDraining", "False", "no call is outside the range, and no relay is being stopped"),
)

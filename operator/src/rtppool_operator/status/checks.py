"""The checks of each condition: the reasons that apply to a pool with their messages, in the order of `conditions`.

The first one is the condition's, and the last one always applies. A message has no figure that changes by itself,
because every change of a message is a write. Such figures are in the rest of the status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rtppool_core.contract.report import Report, SlaReport
from rtppool_operator.relays.observed import (
    STALE_AFTER_SECONDS,
    PoolObservation,
    RelayState,
    judged_reason,
    worst_relay,
)
from rtppool_operator.status.text import describe_host_share, join_first, shorten

# A reason and its message.
Found = tuple[str, str]

_UNJUDGED: Mapping[str, str] = {
    "NoPackets": "calls are active, but none of their packets is answered or lost yet",
    "TooFewSamples": "the window has fewer round trips of calls than sla.minSamples",
    "NotMeasured": "limits were not measured",
    "NoCalls": "no call is active; the probe is not judged",
}


def accepted(pool: PoolObservation) -> Iterator[Found]:
    """Check the spec, the release's policy, and the other pools."""
    claim = pool.claim
    if claim.refusal is not None:
        kept = "; its relays keep their last configuration until it is deleted or accepted" if claim.owned else ""
        yield claim.refusal.reason, shorten(claim.refusal.message) + kept
    if claim.pool.problem is not None:
        yield "Invalid", shorten(claim.pool.problem)
    if claim.lost and not claim.owned and not claim.unserved:
        remedy = "delete one of them, or give this pool a nodeSelector"
        yield "Conflicted", f"other pools own every node: {_pairs(claim.lost)}; {remedy}"
    if claim.unserved and not claim.owned:
        remedy = "set advertise.source to HostIP or Static"
        yield "NoAddress", f"no node has an address to advertise: {_pairs(claim.unserved)}; {remedy}"
    yield "Accepted", "the spec is valid"


def conflicted(pool: PoolObservation) -> Iterator[Found]:
    """Check the claims of other pools."""
    lost, wanted = pool.claim.lost, pool.claim.wanted_by
    if lost:
        yield "NodeOwned", f"other pools own nodes that this pool claims: {_pairs(lost)}; make the selectors disjoint"
    if wanted:
        yield "Preferred", f"this pool owns nodes that other pools claim as well: {_pairs(wanted)}"
    yield "NoConflict", "no other pool claims a node of this one"


def programmed(pool: PoolObservation) -> Iterator[Found]:
    """Check the relays' configuration. A relay that is being deleted reads no new one."""
    spec, without = pool.claim.pool.spec, pool.claim.without_relay
    confirmed = f"{pool.confirmed} of {len(pool.staying)} relays run this generation"
    if spec is not None and spec.paused and pool.behind:
        yield "Paused", "the pool is paused and relays keep their configuration; set paused to false to send the edit"
    for pod, report in pool.behind:
        if report.config_error:
            cause = f"{pod.node} rejected its configuration: {shorten(report.config_error)}"
            yield "ConfigRefused", f"{confirmed}; {cause}; upgrade the relay if it is older than the operator"
    for pod, report in pool.behind:
        cause = f"{pod.node} runs {_configuration(pool, report)}"
        yield "Pending", f"{confirmed}; {cause}; if this persists, see its log"
    if not pool.staying:
        yield "NoRelays", _why_none(pool)
    if without:
        nodes = "one of this pool's nodes runs" if len(without) == 1 else f"{len(without)} of this pool's nodes run"
        yield "MissingRelay", f"{confirmed}; {nodes} no relay: {join_first(without)}; check the relay pods there"
    yield from _missing_reports(pool.staying)
    yield "Programmed", confirmed


def ports_available(pool: PoolObservation) -> Iterator[Found]:
    """Check that the ports of the range can be bound."""
    without = [pod.node for pod, report in pool.serving if report.ports.total <= report.ports.quarantined]
    if without:
        remedy = "move the range, or stop the program that uses the ports"
        yield "None", f"no port can be bound on {join_first(without)}; {remedy}"
    short = [f"{pod.node} ({_quarantine(report)})" for pod, report in pool.serving if report.ports.quarantined]
    if short:
        remedy = "add them to excludedPorts, or stop the program that uses them"
        yield "Partial", f"some ports can't be bound on {join_first(short)}; {remedy}"
    yield from _unserved(pool)
    yield "Available", "every port of the range can be bound"


def echo_reachable(pool: PoolObservation) -> Iterator[Found]:
    """Check that the echo answers each relay."""
    silent, unsure = (
        [f"{pod.node}: {shorten(report.echo.reason)}" for pod, report in pool.serving if report.echo.reachable is state]
        for state in (False, None)
    )
    if silent:
        yield "Unreachable", f"{join_first(silent)}; check echo.host, echo.port and firewalls for UDP"
    yield from _unserved(pool)
    if unsure:
        yield "NothingSent", join_first(unsure)
    yield "Reachable", "the echo answers every relay"


def asterisk_connected(pool: PoolObservation) -> Iterator[Found]:
    """Check the relays' connections to Asterisk."""
    states = [(pod.node, report.ari) for pod, report in pool.serving]
    broken = [(node, ari) for node, ari in states if ari.state not in {"Connected", "NotConfigured"}]
    if broken:
        connected = f"{len(states) - len(broken)} of {len(pool.relays)} relays are connected to Asterisk"
        names = join_first([f"{node}: {shorten(ari.reason)}" for node, ari in broken])
        yield broken[0][1].state, f"{connected}; {names}"
    yield from _unserved(pool)
    without = [(node, ari) for node, ari in states if ari.state == "NotConfigured"]
    if without:
        yield "NotConfigured", f"{join_first([node for node, _ in without])}: {shorten(without[0][1].reason)}"
    yield "Connected", "every relay is connected to its Asterisk"


def sla_met(pool: PoolObservation) -> Iterator[Found]:
    """Check the verdict of the worst relay."""
    worst = worst_relay(pool.serving)
    if worst is None:
        yield from _unserved(pool)
        return
    pod, verdict = worst
    reason, tiers = judged_reason(verdict), _unreachable_tiers(verdict)
    if verdict.result == "Violated":
        limits = join_first([shorten(violation.limit) for violation in verdict.violations], ", ")
        exceeded = f"{pod.node} ({pod.name}) exceeds {limits}; see status.sla"
        yield reason, exceeded + tiers + describe_host_share(pool)
    yield from _unserved(pool)
    if verdict.result == "Unknown":
        message = _UNJUDGED.get(reason) or f"the relay gives no verdict: {shorten(verdict.reason)}"
        if verdict.missing:
            limits = join_first([shorten(limit) for limit in verdict.missing], ", ")
            message = f"{message}; {pod.node} ({pod.name}) lacks figures for {limits}"
        yield reason, message + tiers
    yield "WithinLimits", "every relay with calls meets its limits" + tiers + describe_host_share(pool)


def draining(pool: PoolObservation) -> Iterator[Found]:
    """Check for calls that no new ones follow."""
    stopping = [f"{pod.node} ({_calls(report.calls.active)} left)" for pod, report in pool.serving if report.draining]
    if stopping:
        yield "RelayStopping", f"relays that are being stopped take no new calls: {join_first(stopping)}"
    outside = [(pod, report.ports.draining) for pod, report in pool.serving if report.ports.draining]
    if outside:
        left = sum(calls for _, calls in outside)
        names = join_first([f"{pod.node} ({calls})" for pod, calls in outside])
        live, its = ("lives on a port", "its") if left == 1 else ("live on ports", "their")
        yield "CallsOutsideRange", f"{_calls(left)} {live} outside the range until {its} end: {names}"
    yield from _unserved(pool)
    yield "NotDraining", "no call is outside the range, and no relay is being stopped"


def _unserved(pool: PoolObservation) -> Iterator[Found]:
    """Check that every relay reports, and that one runs the pool."""
    if not pool.relays:
        yield "NoRelays", _why_none(pool)
    yield from _missing_reports(pool.relays)
    if not pool.serving:
        yield "NotProgrammed", "no relay runs this pool yet; see Programmed"


def _missing_reports(relays: Sequence[RelayState]) -> Iterator[Found]:
    others = [relay for relay in relays if relay.failure is not None and relay.failure.incompatible]
    if others:
        counted = f"{len(others)} of {len(relays)} relays report another version than the operator reads"
        yield "IncompatibleRelay", f"{counted}; {_failures(others)}; upgrade both with the same chart"
    mute = [relay for relay in relays if relay.fresh is None]
    if mute:
        counted = f"{len(mute)} of {len(relays)} relays sent no report in the last {STALE_AFTER_SECONDS:.0f} s"
        yield "RelaySilent", f"{counted}; {_failures(mute)}; check their pods and network policies"


def _why_none(pool: PoolObservation) -> str:
    claim = pool.claim
    if pool.relays:
        return f"the relays of this pool are being deleted: {join_first([relay.pod.node for relay in pool.relays])}"
    if claim.refusal is not None:
        return "the operator does not apply this pool; see Accepted"
    if claim.without_relay:
        return f"this pool's nodes run no relay: {join_first(claim.without_relay)}; check the relay DaemonSet"
    if claim.lost:
        return "other pools own every node that this pool claims; see Conflicted"
    if claim.pool.selector:
        return "no node has the labels of nodeSelector; label nodes, or correct nodeSelector"
    return "no node runs a relay; check the relay DaemonSet"


def _configuration(pool: PoolObservation, report: Report) -> str:
    if report.pool is None:
        return "on its environment"
    if report.pool.uid != pool.claim.pool.uid:
        return f"pool {shorten(report.pool.namespace)}/{shorten(report.pool.name)}"
    if report.applied_generation != pool.claim.pool.generation:
        return f"generation {report.applied_generation}"
    echo = f"{shorten(report.echo.host)}:{report.echo.port}"
    return f"{shorten(report.ports.range)} with echo {echo}, unlike the spec"


def _failures(relays: Iterable[RelayState]) -> str:
    return join_first(
        [f"{relay.pod.node}: {shorten(relay.failure.reason) if relay.failure else 'no answer yet'}" for relay in relays]
    )


def _quarantine(report: Report) -> str:
    first = report.ports.quarantine[0].reason if report.ports.quarantine else None
    return f"{report.ports.quarantined} ports, the first: {shorten(first)}"


def _unreachable_tiers(verdict: SlaReport) -> str:
    """Return the tiers that no number of calls can reach: a mistake in the spec that is visible here alone."""
    if not verdict.unreachable_tiers:
        return ""
    tiers = join_first([str(tier.up_to_calls) for tier in verdict.unreachable_tiers], ", ")
    limit = "" if verdict.capacity_calls is None else f", a relay has at most {verdict.capacity_calls}"
    return f"; tiers up to {tiers} calls are out of reach{limit}; see status.sla"


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"


def _pairs(nodes: tuple[tuple[str, str], ...]) -> str:
    return join_first([f"{node} ({which})" for node, which in nodes])

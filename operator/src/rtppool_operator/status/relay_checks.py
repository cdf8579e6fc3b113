"""Programmed, and the checks for missing reports.

Every condition that needs the relays' measurements has the checks of `unserved`: without a report it is Unknown.
"""

from __future__ import annotations

from functools import partial

from rtppool_core.contract.report import Report
from rtppool_operator.relays.observed import STALE_AFTER_SECONDS, PoolObservation, RelayState
from rtppool_operator.status.reasons import Check, Condition, join_first, make_condition
from rtppool_operator.status.text import shorten


def _awaited(kind: str, observation: PoolObservation) -> tuple[RelayState, ...]:
    """Return the relays that a condition needs. A relay that is being deleted reads no new configuration."""
    return observation.staying if kind == "Programmed" else observation.relays


def _no_relays(kind: str, observation: PoolObservation) -> Condition | None:
    if _awaited(kind, observation):
        return None
    return make_condition(kind, "NoRelays", _why_none(observation))


def _why_none(observation: PoolObservation) -> str:
    claim = observation.claim
    if observation.relays:
        return (
            f"the relays of this pool are being deleted: {join_first([relay.pod.node for relay in observation.relays])}"
        )
    if claim.refusal is not None:
        return "the operator does not apply this pool; see Accepted"
    if claim.without_relay:
        return f"this pool's nodes run no relay: {join_first(claim.without_relay)}; check the relay DaemonSet"
    if claim.lost:
        return "other pools own every node that this pool claims; see Conflicted"
    if claim.pool.selector:
        return "no node has the labels of nodeSelector; label nodes, or correct nodeSelector"
    return "no node runs a relay; check the relay DaemonSet"


def _incompatible(kind: str, observation: PoolObservation) -> Condition | None:
    awaited = _awaited(kind, observation)
    others = [relay for relay in awaited if relay.failure is not None and relay.failure.incompatible]
    if not others:
        return None
    counted = f"{len(others)} of {len(awaited)} relays report another version than the operator reads"
    return make_condition(
        kind, "IncompatibleRelay", f"{counted}; {_failures(others)}; upgrade both with the same chart"
    )


def _silent(kind: str, observation: PoolObservation) -> Condition | None:
    awaited = _awaited(kind, observation)
    silent = [relay for relay in awaited if not relay.live]
    if not silent:
        return None
    counted = f"{len(silent)} of {len(awaited)} relays sent no report in the last {STALE_AFTER_SECONDS:.0f} s"
    remedy = "check their pods and network policies"
    return make_condition(kind, "RelaySilent", f"{counted}; {_failures(silent)}; {remedy}")


def _not_programmed(kind: str, observation: PoolObservation) -> Condition | None:
    if observation.serving:
        return None
    return make_condition(kind, "NotProgrammed", "no relay runs this pool yet; see Programmed")


def _failures(relays: list[RelayState]) -> str:
    return join_first(
        [f"{relay.pod.node}: {shorten(relay.failure.reason) if relay.failure else 'no answer yet'}" for relay in relays]
    )


def unserved(kind: str) -> tuple[Check, ...]:
    """Return the checks for no relay, an incompatible one, a silent one, and none that runs this pool."""
    return tuple(partial(check, kind) for check in (_no_relays, _incompatible, _silent, _not_programmed))


def _paused(observation: PoolObservation) -> Condition | None:
    spec = observation.claim.pool.spec
    if spec is None or not spec.paused or not observation.behind:
        return None
    message = "the pool is paused and relays keep their configuration; set paused to false to send the edit"
    return make_condition("Programmed", "Paused", message)


def _config_refused(observation: PoolObservation) -> Condition | None:
    refusing = [(relay, report) for relay, report in observation.behind if report.config_error]
    if not refusing:
        return None
    relay, report = refusing[0]
    cause = f"{relay.pod.node} rejected its configuration: {shorten(report.config_error)}"
    remedy = "upgrade the relay if it is older than the operator"
    return make_condition("Programmed", "ConfigRefused", f"{_confirmed(observation)}; {cause}; {remedy}")


def _pending(observation: PoolObservation) -> Condition | None:
    behind = observation.behind
    if not behind:
        return None
    relay, report = behind[0]
    cause = f"{relay.pod.node} runs {_configuration(observation, report)}"
    return make_condition("Programmed", "Pending", f"{_confirmed(observation)}; {cause}; if this persists, see its log")


def _missing_relay(observation: PoolObservation) -> Condition | None:
    without = observation.claim.without_relay
    if not without:
        return None
    nodes = "one of this pool's nodes runs" if len(without) == 1 else f"{len(without)} of this pool's nodes run"
    message = f"{_confirmed(observation)}; {nodes} no relay: {join_first(without)}; check the relay pods there"
    return make_condition("Programmed", "MissingRelay", message)


def _programmed(observation: PoolObservation) -> Condition:
    return make_condition("Programmed", "Programmed", _confirmed(observation))


def _confirmed(observation: PoolObservation) -> str:
    """Count the relays that confirm this generation. A silent relay does not."""
    return f"{observation.confirmed} of {len(observation.staying)} relays run this generation"


def _configuration(observation: PoolObservation, report: Report) -> str:
    pool = report.pool
    if pool is None:
        return "on its environment"
    if pool.uid != observation.claim.pool.uid:
        return f"pool {shorten(pool.namespace)}/{shorten(pool.name)}"
    if report.applied_generation != observation.claim.pool.generation:
        return f"generation {report.applied_generation}"
    echo = f"{shorten(report.echo.host)}:{report.echo.port}"
    return f"{shorten(report.ports.range)} with echo {echo}, unlike the spec"


PROGRAMMED: tuple[Check, ...] = (
    _paused,
    _config_refused,
    _pending,
    partial(_no_relays, "Programmed"),
    _missing_relay,
    partial(_incompatible, "Programmed"),
    partial(_silent, "Programmed"),
    _programmed,
)

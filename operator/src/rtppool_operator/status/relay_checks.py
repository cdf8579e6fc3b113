"""Whether relays have said anything, and whether they run this generation. Pure.

`unserved` stands in the chain of every condition that rests on what relays measure: what no relay has said is Unknown.
"""

from __future__ import annotations

from functools import partial

from rtppool_core.contract.report import Report
from rtppool_operator.relays.observed import PoolObservation, RelayState
from rtppool_operator.status.reasons import Check, Condition, join_first, make_condition
from rtppool_operator.status.text import shorten


def _awaited(kind: str, observation: PoolObservation) -> tuple[RelayState, ...]:
    """The relays that a condition waits for: one that is being deleted reads no configuration any more."""
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
    if claim.without_relay:
        return f"this pool's nodes run no relay: {join_first(claim.without_relay)}"
    if claim.lost:
        return "other pools have every node that this one asks for"
    if claim.pool.selector:
        return "no node has the labels of nodeSelector"
    return "no node runs a relay"


def _incompatible(kind: str, observation: PoolObservation) -> Condition | None:
    awaited = _awaited(kind, observation)
    others = [relay for relay in awaited if relay.failure is not None and relay.failure.incompatible]
    if not others:
        return None
    counted = f"{len(others)} of {len(awaited)} relays are of another version than the operator"
    return make_condition(
        kind, "IncompatibleRelay", f"{counted}; {_failures(others)}; upgrade both with the same chart"
    )


def _silent(kind: str, observation: PoolObservation) -> Condition | None:
    awaited = _awaited(kind, observation)
    silent = [relay for relay in awaited if not relay.live]
    if not silent:
        return None
    return make_condition(kind, "RelaySilent", f"{len(silent)} of {len(awaited)} silent; {_failures(silent)}")


def _not_programmed(kind: str, observation: PoolObservation) -> Condition | None:
    if observation.serving:
        return None
    return make_condition(kind, "NotProgrammed", "no relay runs this pool yet")


def _failures(relays: list[RelayState]) -> str:
    return join_first(
        [f"{relay.pod.node}: {shorten(relay.failure.reason) if relay.failure else 'no answer yet'}" for relay in relays]
    )


def unserved(kind: str) -> tuple[Check, ...]:
    """No relay, one that can't be understood, one that is silent, none that runs this pool."""
    return tuple(partial(check, kind) for check in (_no_relays, _incompatible, _silent, _not_programmed))


def _paused(observation: PoolObservation) -> Condition | None:
    spec = observation.claim.pool.spec
    if spec is None or not spec.paused or not _behind(observation):
        return None
    return make_condition("Programmed", "Paused", "the pool is paused; relays keep what they had")


def _config_refused(observation: PoolObservation) -> Condition | None:
    refusing = [(relay, report) for relay, report in _behind(observation) if report.config_error]
    if not refusing:
        return None
    relay, report = refusing[0]
    return make_condition(
        "Programmed", "ConfigRefused", f"{_confirmed(observation)}: {relay.pod.node}: {shorten(report.config_error)}"
    )


def _pending(observation: PoolObservation) -> Condition | None:
    behind = _behind(observation)
    if not behind:
        return None
    relay, report = behind[0]
    return make_condition(
        "Programmed", "Pending", f"{_confirmed(observation)}: {relay.pod.node}: {_runs(observation, report)}"
    )


def _missing_relay(observation: PoolObservation) -> Condition | None:
    without = observation.claim.without_relay
    if not without:
        return None
    nodes = "one of this pool's nodes runs" if len(without) == 1 else f"{len(without)} of this pool's nodes run"
    message = f"{_confirmed(observation)} relays run this generation; {nodes} no relay: {join_first(without)}"
    return make_condition("Programmed", "MissingRelay", message)


def _programmed(observation: PoolObservation) -> Condition:
    return make_condition("Programmed", "Programmed", f"{_confirmed(observation)} relays run this generation")


def _behind(observation: PoolObservation) -> list[tuple[RelayState, Report]]:
    """Live relays that run something else and should not."""
    return [
        (relay, relay.report)
        for relay in observation.staying
        if relay.live and relay.report is not None and not observation.runs_current(relay.report)
    ]


def _confirmed(observation: PoolObservation) -> str:
    """`199 of 200`: those who say so, of all; who says nothing has not said so."""
    return f"{observation.confirmed} of {len(observation.staying)}"


def _runs(observation: PoolObservation, report: Report) -> str:
    pool = report.pool
    if pool is None:
        return "it runs on its environment"
    if pool.uid != observation.claim.pool.uid:
        return f"it runs pool {shorten(pool.namespace)}/{shorten(pool.name)}"
    if report.applied_generation != observation.claim.pool.generation:
        return f"it runs generation {report.applied_generation}"
    echo = f"{shorten(report.echo.host)}:{report.echo.port}"
    return f"it runs {shorten(report.ports.range)} with echo {echo}, unlike the spec"


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

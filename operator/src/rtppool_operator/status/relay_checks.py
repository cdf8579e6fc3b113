"""Programmed, and the reasons for missing reports.

Every condition that needs the relays' measurements has the reasons of `UNSERVED`: without a report it is Unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

from rtppool_core.contract.report import Report
from rtppool_operator.relays.observed import STALE_AFTER_SECONDS, PoolObservation, RelayState
from rtppool_operator.status.reasons import Reason, join_first, reason
from rtppool_operator.status.text import shorten

# The relays that a condition needs.
Awaited = Callable[[PoolObservation], Sequence[RelayState]]


def _no_relays(awaited: Awaited) -> Reason:
    @reason("NoRelays", "Unknown", "Label nodes, or check the relay DaemonSet (kubectl get daemonset).")
    def no_relays(observation: PoolObservation) -> str | None:
        return None if awaited(observation) else _why_none(observation)

    return no_relays


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


def _incompatible(awaited: Awaited) -> Reason:
    @reason("IncompatibleRelay", "Unknown", "Upgrade operator and relays with the same chart.")
    def incompatible(observation: PoolObservation) -> str | None:
        relays = awaited(observation)
        others = [relay for relay in relays if relay.failure is not None and relay.failure.incompatible]
        counted = f"{len(others)} of {len(relays)} relays report another version than the operator reads"
        return f"{counted}; {_failures(others)}; upgrade both with the same chart" if others else None

    return incompatible


def _silent(awaited: Awaited) -> Reason:
    @reason(
        "RelaySilent",
        "Unknown",
        "The message has the error. Check the relay's pod and network policies for its HTTP port.",
    )
    def silent(observation: PoolObservation) -> str | None:
        relays = awaited(observation)
        mute = [relay for relay in relays if not relay.live]
        counted = f"{len(mute)} of {len(relays)} relays sent no report in the last {STALE_AFTER_SECONDS:.0f} s"
        return f"{counted}; {_failures(mute)}; check their pods and network policies" if mute else None

    return silent


@reason("NotProgrammed", "Unknown")
def _not_programmed(observation: PoolObservation) -> str | None:
    return None if observation.serving else "no relay runs this pool yet; see Programmed"


def _failures(relays: list[RelayState]) -> str:
    return join_first(
        [f"{relay.pod.node}: {shorten(relay.failure.reason) if relay.failure else 'no answer yet'}" for relay in relays]
    )


@reason("Paused", "False", "Set paused to false to send the edit.")
def _paused(observation: PoolObservation) -> str | None:
    spec = observation.claim.pool.spec
    if spec is None or not spec.paused or not observation.behind:
        return None
    return "the pool is paused and relays keep their configuration; set paused to false to send the edit"


@reason(
    "ConfigRefused",
    "False",
    "The message has the relay's error. The relay is mostly older than the operator: complete the upgrade.",
)
def _config_refused(observation: PoolObservation) -> str | None:
    refusing = [(relay, report) for relay, report in observation.behind if report.config_error]
    if not refusing:
        return None
    relay, report = refusing[0]
    cause = f"{relay.pod.node} rejected its configuration: {shorten(report.config_error)}"
    return f"{_confirmed(observation)}; {cause}; upgrade the relay if it is older than the operator"


@reason(
    "Pending",
    "False",
    "Wait about a second. If it persists, check that relay's log and the ConfigMap rtp-relay-config.",
)
def _pending(observation: PoolObservation) -> str | None:
    behind = observation.behind
    if not behind:
        return None
    relay, report = behind[0]
    cause = f"{relay.pod.node} runs {_configuration(observation, report)}"
    return f"{_confirmed(observation)}; {cause}; if this persists, see its log"


@reason(
    "MissingRelay", "False", "Check the relay pods on those nodes: taints, resources, a port in use by another pod."
)
def _missing_relay(observation: PoolObservation) -> str | None:
    without = observation.claim.without_relay
    if not without:
        return None
    nodes = "one of this pool's nodes runs" if len(without) == 1 else f"{len(without)} of this pool's nodes run"
    return f"{_confirmed(observation)}; {nodes} no relay: {join_first(without)}; check the relay pods there"


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


# A relay that is being deleted reads no new configuration.
_STAYING: Awaited = attrgetter("staying")
_ALL: Awaited = attrgetter("relays")
PROGRAMMED = (
    _paused,
    _config_refused,
    _pending,
    _no_relays(_STAYING),
    _missing_relay,
    _incompatible(_STAYING),
    _silent(_STAYING),
    Reason("Programmed", "True", _confirmed),
)
UNSERVED = (_no_relays(_ALL), _incompatible(_ALL), _silent(_ALL), _not_programmed)

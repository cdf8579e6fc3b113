"""The result of `helm test` for each node, as sentences with the remedy."""

from __future__ import annotations

from dataclasses import dataclass

from rtppool_core.contract.packet_check import Burst, PacketCheck


@dataclass(frozen=True, slots=True)
class Verdict:
    """A line for a node. `failed`: packets are missing, and the line names the remedy."""

    line: str
    failed: bool = False


def judge_check(node: str, answer: PacketCheck, *, has_echo: bool) -> tuple[Verdict, ...]:
    """Return the verdicts on a relay's packets: through it to its echo, and to the echo of its node."""
    through = answer.through_relay
    remedy = (
        f"see the condition EchoReachable of the node's pool, and kubectl logs of the node's relay; is the echo at "
        f"{through.target} there, and does echo.allow list this node?"
    )
    verdicts = [_verdict(f"node {node}: through the relay to the echo at {through.target}", through, remedy)]
    if has_echo and answer.node_echo is not None:
        own = answer.node_echo
        remedy = f"see kubectl logs of the node's echo; does it listen at {own.target}, and does echo.allow list it?"
        verdicts.append(_verdict(f"node {node}: to the node's own echo at {own.target}", own, remedy))
    return tuple(verdicts)


def judge_silence(node: str, reason: str) -> Verdict:
    """Return the verdict on a relay that did not answer."""
    remedy = "see kubectl logs of the node's relay; does a firewall let the operator's node reach that port?"
    return Verdict(f"node {node}: the relay sent no packets: {reason}. {remedy}", failed=True)


def judge_waiting(node: str, component: str, pod: str, reason: str) -> Verdict:
    """Return the verdict on a pod that does not run."""
    return Verdict(f"node {node}: the {component} does not run: {reason}. kubectl describe pod {pod}", failed=True)


def judge_alone(node: str) -> Verdict:
    """Return the verdict on a node with an echo and without a relay."""
    return Verdict(f"node {node}: has an echo and no relay, so no packet was sent from there")


def judge_none(namespace: str) -> Verdict:
    """Return the verdict on a release without any relay."""
    return Verdict(
        f"namespace {namespace} has no relay pod. kubectl describe daemonset --namespace {namespace} names the reason: "
        "no node fits nodeSelector and tolerations, or Pod Security refuses the pods",
        failed=True,
    )


def _verdict(way: str, burst: Burst, remedy: str) -> Verdict:
    text = f"{way}: sent {burst.sent}, returned {burst.answered}"
    if burst.median_microseconds is not None:
        text += f", median round trip {burst.median_microseconds / 1000:.3f} ms"
    if burst.ok:
        return Verdict(text)
    return Verdict(f"{text}{f' ({burst.problem})' if burst.problem else ''}. {remedy}", failed=True)

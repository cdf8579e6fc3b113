"""`python -m rtppool_operator.check`: `helm test`. Every relay sends packets, and each node gets its verdict.

One pod can't send from every node, and a hook can't know the nodes at the time of the test. The relays are on the nodes
already. Each sends ten packets through its media path to its echo, and ten to the echo of its node (`/check`).
The exit code is 0 when all packets came back, 1 when one did not, and 2 for invalid settings.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtppool_core.contract.codec import ContractError, decode
from rtppool_core.contract.packet_check import Burst, PacketCheck
from rtppool_core.process.service import EXIT_FAILED, EXIT_OK, EXIT_SETTINGS
from rtppool_core.process.settings import SettingsError
from rtppool_operator.kube.api_server import ApiServer, ClusterError, connect, read_items
from rtppool_operator.kube.cluster import relay_of
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.relay_http import RelayHttp
from rtppool_operator.settings import Settings, read_settings

# A relay without a free port takes five seconds to report it, and more while another check runs.
MAX_CHECK_SECONDS = 20.0
MAX_CHECKS_IN_FLIGHT = 16
COMPONENT = "app.kubernetes.io/component"


@dataclass(frozen=True, slots=True)
class ReleasePod:
    """A pod of relay or echo, and its node.

    `waiting` is the reason why the pod does not run, empty when it does. `relay` is the address of a relay.
    """

    component: str
    name: str
    node: str
    waiting: str = ""
    relay: RelayPod | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A line for a node. `failed`: packets are missing, and the line names the remedy."""

    line: str
    failed: bool = False


async def read_release_pods(api: ApiServer, namespace: str, relay_selector: str) -> tuple[ReleasePod, ...]:
    """Return the pods of relay and echo, without those that are being deleted.

    Raises:
        ClusterError: the API server did not answer with a list.
    """
    selector = ",".join(pair for pair in relay_selector.split(",") if not pair.startswith(f"{COMPONENT}="))
    request = f"list pods in {namespace}"
    query = {"labelSelector": selector, "resourceVersion": "0"}
    document = await api.read(request, f"/api/v1/namespaces/{namespace}/pods", query)
    return tuple(
        _pod(pod, pod["metadata"]["labels"][COMPONENT])
        for pod in read_items(request, document)
        if pod["metadata"].get("deletionTimestamp") is None
        and pod["metadata"]["labels"].get(COMPONENT) in {"relay", "echo"}
    )


async def check_release(pods: Sequence[ReleasePod], http: RelayHttp, namespace: str) -> list[Verdict]:
    """Have every relay send packets. Return the verdicts by node."""
    slots = asyncio.Semaphore(MAX_CHECKS_IN_FLIGHT)
    relays = [pod for pod in pods if pod.component == "relay"]
    echoes = {pod.node for pod in pods if pod.component == "echo"}
    verdicts = [
        Verdict(
            f"node {pod.node}: the {pod.component} does not run: {pod.waiting}. kubectl describe pod {pod.name}",
            failed=True,
        )
        for pod in pods
        if pod.waiting
    ]
    running = [(pod.node, pod.relay) for pod in relays if not pod.waiting and pod.relay is not None]

    async def check(node: str, relay: RelayPod) -> list[Verdict]:
        async with slots:
            try:
                answer = decode(PacketCheck, await http.get(relay, "/check"))
            except ContractError as error:
                return [_silence(node, f"its answer is not that of this version ({error})")]
            except Exception as error:  # noqa: BLE001 each relay has a verdict of its own
                return [_silence(node, http.reason(relay, error))]
        return _verdicts(node, answer, has_echo=node in echoes)

    for of_node in await asyncio.gather(*(check(node, relay) for node, relay in running)):
        verdicts += of_node
    for node in sorted(echoes - {pod.node for pod in relays}):
        verdicts.append(Verdict(f"node {node}: has an echo and no relay, so no packet was sent from there"))
    if not relays:
        line = (
            f"namespace {namespace} has no relay pod. kubectl describe daemonset --namespace {namespace} names the "
            "reason: no node fits nodeSelector and tolerations, or Pod Security refuses the pods"
        )
        verdicts.append(Verdict(line, failed=True))
    return verdicts


async def run(settings: Settings) -> int:
    """Check the release of these settings, and print the verdicts. Returns the exit code."""
    namespace = settings.policy.namespace
    api = await connect()
    try:
        pods = await read_release_pods(api, namespace, settings.relay_selector)
    finally:
        await api.close()
    http = RelayHttp(settings.relay_token, settings.relay_authority, MAX_CHECK_SECONDS)
    try:
        verdicts = await check_release(pods, http, namespace)
    finally:
        await http.close()
    for verdict in verdicts:
        print(f"{'FAILED  ' if verdict.failed else 'ok      '}{verdict.line}")  # noqa: T201 this program's output
    return EXIT_FAILED if any(verdict.failed for verdict in verdicts) else EXIT_OK


def main() -> int:
    """Check one release. Returns the exit code."""
    try:
        return asyncio.run(run(read_settings(os.environ)))
    except SettingsError as error:
        for problem in error.problems:
            print(f"helm test: {problem}", file=sys.stderr)  # noqa: T201 as above
        return EXIT_SETTINGS
    except ClusterError as error:
        print(f"helm test: {error}", file=sys.stderr)  # noqa: T201 as above
        return EXIT_FAILED


def _pod(pod: Mapping[str, Any], component: str) -> ReleasePod:
    relay = relay_of(pod) if component == "relay" else None
    return ReleasePod(component, pod["metadata"]["name"], _node(pod), _waiting(pod.get("status") or {}), relay)


def _node(pod: Mapping[str, Any]) -> str:
    """Return the node of a pod. A DaemonSet's pod without a node names it in its affinity."""
    spec = pod["spec"]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    named = [
        value
        for term in required.get("nodeSelectorTerms") or []
        for field in term.get("matchFields") or []
        for value in field.get("values") or []
    ]
    return str(spec.get("nodeName") or next(iter(named), "(none)"))


def _waiting(status: Mapping[str, Any]) -> str:
    conditions = {each["type"]: each for each in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    states = [each.get("state") or {} for each in status.get("containerStatuses") or []]
    reasons = [str(state["waiting"].get("reason")) for state in states if "waiting" in state]
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        reasons.append(str(scheduled.get("message")))
    return reasons[0] if reasons else f"it is {status.get('phase', 'Pending')} and not ready"


def _silence(node: str, reason: str) -> Verdict:
    """Return the verdict on a relay that did not answer."""
    remedy = "see kubectl logs of the node's relay; does a firewall let the operator's node reach that port?"
    return Verdict(f"node {node}: the relay sent no packets: {reason}. {remedy}", failed=True)


def _verdicts(node: str, answer: PacketCheck, *, has_echo: bool) -> list[Verdict]:
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
    return verdicts


def _verdict(way: str, burst: Burst, remedy: str) -> Verdict:
    text = f"{way}: sent {burst.sent}, returned {burst.answered}"
    if burst.median_microseconds is not None:
        text += f", median round trip {burst.median_microseconds / 1000:.3f} ms"
    if burst.ok:
        return Verdict(text)
    return Verdict(f"{text}{f' ({burst.problem})' if burst.problem else ''}. {remedy}", failed=True)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m rtppool_operator.check`: `helm test`. Every relay sends packets, and each node gets its verdict.

One pod can't send from every node, and a hook can't know the nodes at the time of the test. The relays are on the nodes
already. Each sends ten packets through its media path to its echo, and ten to the echo of its node (`/check`).
The exit code is 0 when all packets came back, 1 when one did not, and 2 for invalid settings.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from rtppool_core.contract.codec import ContractError, decode
from rtppool_core.contract.packet_check import PacketCheck
from rtppool_core.process.service import EXIT_FAILED, EXIT_OK, EXIT_SETTINGS
from rtppool_core.process.settings import SettingsError
from rtppool_operator.kube.api_server import ClusterError, connect
from rtppool_operator.kube.release_pods import ReleasePod, read_release_pods
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.relays.packet_verdict import (
    Verdict,
    judge_alone,
    judge_check,
    judge_none,
    judge_silence,
    judge_waiting,
)
from rtppool_operator.relays.relay_http import RelayHttp
from rtppool_operator.settings import Settings, read_settings

# A relay without a free port takes five seconds to report it, and more while another check runs.
MAX_CHECK_SECONDS = 20.0
MAX_CHECKS_IN_FLIGHT = 16


async def check_release(pods: Sequence[ReleasePod], http: RelayHttp, namespace: str) -> list[Verdict]:
    """Have every relay send packets. Return the verdicts by node."""
    slots = asyncio.Semaphore(MAX_CHECKS_IN_FLIGHT)
    relays = [pod for pod in pods if pod.component == "relay"]
    echoes = {pod.node for pod in pods if pod.component == "echo"}
    verdicts = [judge_waiting(pod.node, pod.component, pod.name, pod.waiting) for pod in pods if pod.waiting]
    running = [(pod, pod.relay) for pod in relays if not pod.waiting and pod.relay is not None]

    async def check(pod: ReleasePod, relay: RelayPod) -> tuple[Verdict, ...]:
        async with slots:
            try:
                answer = decode(PacketCheck, await http.get(relay, "/check"))
            except ContractError as error:
                return (judge_silence(pod.node, f"its answer is not that of this version ({error})"),)
            except Exception as error:  # noqa: BLE001 each relay has a verdict of its own
                return (judge_silence(pod.node, http.reason(relay, error)),)
        return judge_check(pod.node, answer, has_echo=pod.node in echoes)

    for of_node in await asyncio.gather(*(check(pod, relay) for pod, relay in running)):
        verdicts.extend(of_node)
    verdicts.extend(judge_alone(node) for node in sorted(echoes - {pod.node for pod in relays}))
    return verdicts if relays else [*verdicts, judge_none(namespace)]


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


if __name__ == "__main__":
    sys.exit(main())

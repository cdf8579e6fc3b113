"""Edits on the nodes of a real cluster: the times until all relays run an edit, and until the status shows it.

An edit passes API server, operator, ConfigMap, annotation, kubelet and relay. Relays log the time of application, so
nodes and this program must share a clock, as kind's nodes do.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from kubernetes import config, watch
from kubernetes.client import ApiClient, CoreV1Api, CustomObjectsApi
from urllib3.exceptions import HTTPError

from lab.base.errors import LabError
from lab.base.report import Figure
from lab.cluster.tooling import Tooling

NAMESPACE, POOL = "rtp-pool", "default"
GROUP, VERSION, PLURAL = "rtppool.dev", "v1alpha1", "rtppools"
RELAYS = "app.kubernetes.io/component=relay"
WITHIN_SECONDS = 30.0
POLL_SECONDS = 0.05
# Random pauses, so that edits meet every phase of the periodic work of operator, kubelets and relays.
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.3, 2.0
APPLIED_P95_SECONDS, SHOWN_P95_SECONDS = 1.0, 2.0
_APPLIED = re.compile(r"^(?P<at>\S+) .*configuration applied.*?generation\W+(?P<generation>\d+)")


@dataclass(frozen=True, slots=True)
class NodeEdit:
    """Seconds from the API server's answer until the last relay applied the edit, and until the status showed it."""

    applied: float
    shown: float


async def edits_on_nodes(
    tooling: Tooling, edits: int, chance: random.Random, say: Callable[[str], None]
) -> list[Figure]:
    """Move the end of the default pool's range back and forth, and restore the spec.

    Raises:
        LabError: there is no such cluster or pool, or an edit is not applied.
    """
    try:
        tooling.cluster().check_may_touch()
    except LabError as error:
        raise LabError(f"{error}. make up makes the cluster") from error
    kubeconfig = tooling.target.kubeconfig
    new_client: Callable[..., ApiClient] = config.new_client_from_config
    with new_client(None if kubeconfig is None else str(kubeconfig), tooling.target.context) as client:
        return await asyncio.to_thread(_edit_and_measure, client, edits, chance, say)


def figures(edits: Sequence[NodeEdit], relays: int) -> list[Figure]:
    """Return the figures of the table."""
    applied, shown = [each.applied for each in edits], [each.shown for each in edits]
    return [
        _p95(f"edit applied on {relays} nodes", applied, APPLIED_P95_SECONDS),
        _p95("edit shown in the status", shown, SHOWN_P95_SECONDS),
    ]


def applied_at(log: str) -> dict[int, float]:
    """Return the time (Unix seconds) of each generation's first application in a relay's log with kubelet times."""
    found: dict[int, float] = {}
    for line in log.splitlines():
        if match := _APPLIED.match(line):
            # datetime parses microseconds only.
            at = re.sub(r"(\.\d{6})\d*", r"\1", match["at"])
            found.setdefault(int(match["generation"]), datetime.fromisoformat(at).timestamp())
    return found


def _p95(what: str, seconds: Sequence[float], bound: float) -> Figure:
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    measured = (
        f"median {statistics.median(seconds):.2f} s, p95 {p95:.2f} s, worst {max(seconds):.2f} s of {len(seconds)}"
    )
    return Figure(what, measured, f"p95 {bound:g} s", p95 <= bound)


def _edit_and_measure(client: ApiClient, edits: int, chance: random.Random, say: Callable[[str], None]) -> list[Figure]:
    pools, core = CustomObjectsApi(client), CoreV1Api(client)
    pool = cast("dict[str, Any]", pools.get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, POOL))
    first: dict[str, int] = pool["spec"]["portRange"]
    accepted: dict[int, float] = {}
    seen = _Watch(pools)
    try:
        for number in range(1, edits + 1):
            end = first["end"] - number % 2
            generation = _patch(pools, {"start": first["start"], "end": end})
            accepted[generation] = time.time()
            seen.wait(generation)
            if number % 10 == 0:
                say(f"  {number} of {edits} edits")
            time.sleep(chance.uniform(MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS))
    finally:
        _patch(pools, first)
        seen.close()
    logs = [applied_at(each) for each in _relay_logs(core, time.time() - min(accepted.values()))]
    return figures([_timed(generation, at, seen, logs) for generation, at in accepted.items()], len(logs))


def _timed(generation: int, accepted: float, seen: _Watch, logs: Sequence[Mapping[int, float]]) -> NodeEdit:
    if missing := sum(1 for each in logs if generation not in each):
        raise LabError(f"{missing} of {len(logs)} relays did not log the application of generation {generation}")
    return NodeEdit(max(each[generation] for each in logs) - accepted, seen.shown[generation] - accepted)


def _patch(pools: CustomObjectsApi, ports: Mapping[str, int]) -> int:
    edit = {"spec": {"portRange": dict(ports)}}
    patched = pools.patch_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, POOL, edit)
    return int(cast("dict[str, Any]", patched)["metadata"]["generation"])


def _relay_logs(core: CoreV1Api, since_seconds: float) -> list[str]:
    pods = core.list_namespaced_pod(NAMESPACE, label_selector=RELAYS).items
    names = [str(pod.metadata.name) for pod in pods if pod.metadata is not None]
    if not names:
        raise LabError(f"no relay runs in namespace {NAMESPACE}; make up installs the product")
    since = int(since_seconds) + 5
    return [str(core.read_namespaced_pod_log(name, NAMESPACE, timestamps=True, since_seconds=since)) for name in names]


@dataclass(slots=True)
class _Watch:
    """A watch of the pool, with the time at which its status first showed each applied generation."""

    pools: CustomObjectsApi
    shown: dict[int, float] = field(default_factory=dict)
    _watch: Any = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        """Start the watch."""
        make: Callable[[], Any] = watch.Watch
        self._watch = make()
        self._thread = threading.Thread(target=self._follow, name="watch of the pool", daemon=True)
        self._thread.start()

    def wait(self, generation: int) -> None:
        deadline = time.monotonic() + WITHIN_SECONDS
        while generation not in self.shown:
            if time.monotonic() > deadline:
                raise LabError(f"generation {generation} is not in the status after {WITHIN_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        self._watch.stop()

    def _follow(self) -> None:
        events = self._watch.stream(
            self.pools.list_namespaced_custom_object,
            GROUP, VERSION, NAMESPACE, PLURAL,
            field_selector=f"metadata.name={POOL}",
        )  # fmt: skip
        # Closing the client interrupts the stream. After an earlier end of the stream, `wait` fails.
        with contextlib.suppress(HTTPError):
            for event in events:
                pool = event["object"]
                applied = pool.get("status", {}).get("appliedGeneration")
                if applied == pool["metadata"]["generation"]:
                    self.shown.setdefault(applied, time.time())

"""A model of the converged state: who owns a node, what a relay runs, and the contents of a status.

The model follows the documented rules and uses none of the operator's code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.faults.operator.api.resources import Document
from lab.faults.operator.relays.fake_relay import RelayState

REPORTING_MODES = {"well", "old"}
MAX_LISTED = 64


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the cluster. `labels` are those of each node, `config` is `pools.json` (None without the file)."""

    pools: Sequence[Document]
    labels: Mapping[str, Mapping[str, str]]
    relays: Sequence[RelayState]
    config: str | None


def owners(pools: Sequence[Document], labels: Mapping[str, Mapping[str, str]]) -> dict[str, Document]:
    """Return the pool of each node: selecting pools come before pools for all nodes, then age, then name decide."""

    def rank(pool: Document) -> tuple[bool, str, str, str]:
        metadata = pool["metadata"]
        selects = bool(pool["spec"].get("nodeSelector"))
        return (not selects, metadata["creationTimestamp"], metadata["namespace"], metadata["name"])

    found = {}
    for name, has in labels.items():
        takers = [pool for pool in pools if pool["spec"].get("nodeSelector", {}).items() <= has.items()]
        if takers:
            found[name] = min(takers, key=rank)
    return found


def differences(snapshot: Snapshot) -> list[str]:
    """Return a line for each difference from the converged state."""
    stuck = [key_of(pool) for pool in snapshot.pools if "deletionTimestamp" in pool["metadata"]]
    if stuck:
        return [f"deletion is stuck: {', '.join(stuck)}"]
    nodes = {relay.node: snapshot.labels[relay.node] for relay in snapshot.relays}
    owner = owners(snapshot.pools, nodes)
    return [
        *_of_config(snapshot.config, owner),
        *(problem for relay in snapshot.relays for problem in _of_relay(relay, owner.get(relay.node))),
        *(problem for pool in snapshot.pools for problem in _of_status(pool, snapshot, owner)),
    ]


def key_of(pool: Document) -> str:
    """Return `namespace/name`."""
    return f"{pool['metadata']['namespace']}/{pool['metadata']['name']}"


def _of_config(config: str | None, owner: Mapping[str, Document]) -> list[str]:
    if config is None:
        return ["there is no pools.json"]
    try:
        written = {
            node["name"]: (entry["uid"], entry["generation"])
            for entry in json.loads(config)["pools"]
            for node in entry["nodes"]
        }
    except (ValueError, KeyError, TypeError, RecursionError):
        return [f"pools.json cannot be parsed: {config[:60]}"]
    wanted = {name: (pool["metadata"]["uid"], pool["metadata"]["generation"]) for name, pool in owner.items()}
    wrong = sorted(name for name in wanted.keys() | written.keys() if wanted.get(name) != written.get(name))
    return [f"pools.json has {written.get(name)} for {name}, not {wanted.get(name)}" for name in wrong]


def _of_relay(relay: RelayState, pool: Document | None) -> list[str]:
    entry = relay.entry
    runs = None if entry is None else (entry.uid, entry.generation, entry.port_range.start, entry.port_range.end)
    if pool is None:
        wanted = None
    else:
        metadata, ports = pool["metadata"], pool["spec"]["portRange"]
        wanted = (metadata["uid"], metadata["generation"], ports["start"], ports["end"])
    return [] if runs == wanted else [f"relay {relay.pod} runs {runs}, not {wanted}"]


def _is_wanted_by_others(pool: Document, mine: Sequence[RelayState], snapshot: Snapshot) -> bool:
    return any(
        other["metadata"]["uid"] != pool["metadata"]["uid"]
        and other["spec"].get("nodeSelector", {}).items() <= snapshot.labels[relay.node].items()
        for other in snapshot.pools
        for relay in mine
    )


def _of_status(pool: Document, snapshot: Snapshot, owner: Mapping[str, Document]) -> list[str]:
    uid, generation = pool["metadata"]["uid"], pool["metadata"]["generation"]
    status: dict[str, Any] = pool.get("status", {})
    mine = sorted(
        (relay for relay in snapshot.relays if owner.get(relay.node, {}).get("metadata", {}).get("uid") == uid),
        key=lambda relay: (relay.node, relay.pod),
    )
    lost = any(
        pool["spec"].get("nodeSelector", {}).items() <= snapshot.labels[relay.node].items() and relay not in mine
        for relay in snapshot.relays
    )
    all_report = all(relay.mode in REPORTING_MODES for relay in mine)
    conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
    checks: dict[str, tuple[Any, Any]] = {
        "observedGeneration": (status.get("observedGeneration"), generation),
        "relayCount": (status.get("relayCount"), len(mine)),
        "relays": ([row["podName"] for row in status.get("relays", [])], [relay.pod for relay in mine[:MAX_LISTED]]),
        "Accepted": (conditions.get("Accepted"), str(bool(mine) or not lost)),
    }
    if lost or not _is_wanted_by_others(pool, mine, snapshot):
        # A pool with nodes that others select as well may also be Conflicted.
        checks["Conflicted"] = (conditions.get("Conflicted"), str(lost))
    if mine and all_report:
        reachable = all(relay.echo_reachable for relay in mine)
        checks |= {
            "appliedGeneration": (status.get("appliedGeneration"), generation),
            "Programmed": (conditions.get("Programmed"), "True"),
            "EchoReachable": (conditions.get("EchoReachable"), str(reachable)),
            "Ready": (conditions.get("Ready"), str(reachable)),
            "activeCalls": (status.get("activeCalls"), sum(relay.active_calls for relay in mine)),
        }
    else:
        # Without a report of every relay, these conditions must not be True.
        checks["Programmed not True"] = (conditions.get("Programmed") != "True", True)
        checks["Ready not True"] = (conditions.get("Ready", "absent") in {"False", "Unknown"}, True)
    stale = [each["type"] for each in status.get("conditions", []) if each["observedGeneration"] != generation]
    return [
        *(
            f"{key_of(pool)}: {name} is {has!r}, not {wanted!r}"
            for name, (has, wanted) in checks.items()
            if has != wanted
        ),
        *(f"{key_of(pool)}: condition {each} has another generation" for each in stale),
        *([f"{key_of(pool)} has finalizers"] if pool["metadata"].get("finalizers") else []),
    ]

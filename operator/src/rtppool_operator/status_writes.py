"""When a pool's status is worth a write. Pure.

A change of condition (its sentence included: sentences do not tick), generation, relay set, verdict or active calls is
written at once, at most once a second; mere movement of figures (more than 20 %) at most every 15 s; otherwise nothing
is written: etcd and watchers stay calm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SHORTEST_PAUSE_SECONDS = 1.0
FIGURES_PAUSE_SECONDS = 15.0
MOVED_BY = 0.2

_AT_ONCE = ("observedGeneration", "appliedGeneration", "activeCalls", "relayCount")
_ROW = ("podName", "nodeName", "ready", "appliedGeneration", "silentSince", "address")


def write_is_due(
    before: Mapping[str, Any], now: Mapping[str, Any], written_at_seconds: float | None, now_seconds: float
) -> bool:
    """Whether `now` should replace `before`, last written at `written_at_seconds` (None: not by this process)."""
    since = float("inf") if written_at_seconds is None else now_seconds - written_at_seconds
    if essence(before) != essence(now):
        return since >= SHORTEST_PAUSE_SECONDS
    return since >= FIGURES_PAUSE_SECONDS and _moved(before, now)


def essence(status: Mapping[str, Any]) -> dict[str, Any]:
    """What is written at once when it changes."""
    return {
        **{name: status.get(name) for name in _AT_ONCE},
        "conditions": [
            [each.get(name) for name in ("type", "status", "reason", "message", "observedGeneration")]
            for each in status.get("conditions", [])
        ],
        "relays": [[row.get(name) for name in _ROW] for row in status.get("relays", [])],
        "sla": (status.get("sla", {}).get("result"), status.get("sla", {}).get("relay")),
        "measured": sorted(status.get("latency", {})),
        "range": (status.get("summary", {}).get("range"), status.get("summary", {}).get("echo")),
        "resolved": status.get("echo", {}).get("resolvedAddress"),
    }


def _moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    old, new = dict(_leaves("", before)), dict(_leaves("", now))
    return old.keys() != new.keys() or any(_differs(old[name], new[name]) for name in new)


def _leaves(place: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{place}.{name}", inner)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _leaves(f"{place}[{at}]", inner)
    elif not place.endswith(("lastTransitionTime", "samples", ".p99")):
        yield place, value


def _differs(old: Any, new: Any) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (old, new))
    if not numbers:
        return bool(old != new)
    return bool(abs(new - old) > MOVED_BY * max(abs(old), abs(new)))

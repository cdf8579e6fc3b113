"""When to write a pool's status.

- At once, but at most once a second: a change of a condition with its message, generation, relay set, verdict or active
  calls.
- At most every 15 s: figures that moved by more than 20 %, and the host's share in words.
- Probe figures alone: only a move by a millisecond, or across the pool's loss limit. The probe always measures, and a
  round trip of a few hundred microseconds always varies. Live figures are on the relays' /metrics.
- Host time alone: never, because a machine always takes a little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rtppool_operator.status.text import without_host_share

MIN_PAUSE_SECONDS = 1.0
FIGURES_PAUSE_SECONDS = 15.0
MOVED_BY = 0.2
# A smaller move of the probe comes from the scheduler rather than from the path to the echo.
PROBE_MOVED_BY_MICROSECONDS = 1_000

_AT_ONCE = ("observedGeneration", "appliedGeneration", "activeCalls", "relayCount")
_PROBE = ".latency.probe"
_WRITTEN_ALONG = (_PROBE, ".host")
_PROBE_QUANTILES = ("p50Microseconds", "p95Microseconds")
_ROW = ("podName", "nodeName", "ready", "appliedGeneration", "silentSince", "address")


def write_is_due(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    written_at_seconds: float | None,
    now_seconds: float,
    max_loss_ppm: int | None = None,
) -> bool:
    """Return whether `now` should replace `before`, last written at `written_at_seconds` (None: not by this process).

    The pause of a second between two writes is the caller's.

    `max_loss_ppm` is the pool's limit (None: the spec is invalid).
    """
    since = float("inf") if written_at_seconds is None else now_seconds - written_at_seconds
    if essence(before) != essence(now):
        return True
    return since >= FIGURES_PAUSE_SECONDS and (_moved(before, now) or _probe_moved(before, now, max_loss_ppm))


def essence(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a status whose change is written at once."""
    return {
        **{name: status.get(name) for name in _AT_ONCE},
        "conditions": [
            [
                *(each.get(name) for name in ("type", "status", "reason", "observedGeneration")),
                without_host_share(each.get("message", "")),
            ]
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


def _probe_moved(before: Mapping[str, Any], now: Mapping[str, Any], max_loss_ppm: int | None) -> bool:
    old, new = (status.get("latency", {}).get("probe", {}) for status in (before, now))
    if max_loss_ppm is not None and (old.get("lossPpm", 0) > max_loss_ppm) != (new.get("lossPpm", 0) > max_loss_ppm):
        return True
    both = [(old[name], new[name]) for name in _PROBE_QUANTILES if name in old and name in new]
    return any(abs(one - other) >= PROBE_MOVED_BY_MICROSECONDS and _differs(one, other) for one, other in both)


def _leaves(place: str, value: Any) -> Iterable[tuple[str, Any]]:
    if place in _WRITTEN_ALONG:
        return
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

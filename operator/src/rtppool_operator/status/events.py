"""Events on a pool for changes of `Ready` and `SLAMet`, with a rate limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtppool_operator.pools.event import PoolEvent

REPORTED_TYPES = ("Ready", "SLAMet")
PAUSE_SECONDS = 10.0


@dataclass(slots=True)
class EventLimiter:
    """At most one event per pool and condition in ten seconds. A change within that time is reported after it."""

    # The status of the last event and its time, by pool and condition.
    _sent: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)

    def events(
        self, uid: str, before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], now_seconds: float
    ) -> list[PoolEvent]:
        """Return the events that are due. `before` has the conditions at this process' first sight of the pool."""
        old = {each["type"]: each["status"] for each in before if "type" in each and "status" in each}
        due = []
        for condition in now:
            kind, status = condition["type"], condition["status"]
            if kind not in REPORTED_TYPES:
                continue
            sent, at_seconds = self._sent.setdefault((uid, kind), (old.get(kind, ""), float("-inf")))
            if status != sent and now_seconds - at_seconds >= PAUSE_SECONDS:
                self._sent[uid, kind] = status, now_seconds
                due.append(_event(condition))
        return due

    def keep_only(self, uids: set[str]) -> None:
        """Forget all other pools."""
        self._sent = {key: sent for key, sent in self._sent.items() if key[0] in uids}


def _event(condition: Mapping[str, Any]) -> PoolEvent:
    prefix = {"True": "", "False": "Not", "Unknown": "Unknown"}[condition["status"]]
    return PoolEvent(
        "Warning" if condition["status"] == "False" else "Normal",
        f"{prefix}{condition['type']}",
        f"{condition['type']} is {condition['status']} ({condition['reason']}): {condition['message']}",
    )

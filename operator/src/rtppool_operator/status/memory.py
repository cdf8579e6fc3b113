"""The last written status of each pool, as computed and as the API server stored it.

An older definition drops fields. So the operator compares a listed status with the stored one, not with the computed
one: it notices edits of other clients, and does not write dropped fields again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtppool_operator.pools.spec import Pool
from rtppool_operator.status.write_policy import MIN_PAUSE_SECONDS, write_is_due

# The pause after the API server has rejected a status.
REFUSED_PAUSE_SECONDS = 10.0
# A status that says that relays do not run an edit yet waits this long after the edit.
CONFIRM_SECONDS = 0.7


@dataclass(frozen=True, slots=True)
class _Write:
    computed: Mapping[str, Any]
    returned: Mapping[str, Any]
    at_seconds: float


@dataclass(slots=True)
class StatusMemory:
    """Writes by pool uid. Times are monotonic."""

    _writes: dict[str, _Write] = field(default_factory=dict)
    _refused_at: dict[str, float] = field(default_factory=dict)
    _edited_at: dict[str, float] = field(default_factory=dict)

    def conditions(self, pool: Pool) -> Sequence[Mapping[str, Any]]:
        """Return the conditions of this operator's last write; before the first one, those of the pool."""
        last = self._writes.get(pool.uid)
        conditions = (pool.status if last is None else last.computed).get("conditions")
        return conditions if isinstance(conditions, list) else []

    def is_due(self, pool: Pool, status: Mapping[str, Any], read_at_seconds: float, now_seconds: float) -> bool:
        """Return whether to write `status`. `pool` is from a read of the cluster that began at `read_at_seconds`."""
        if self.paused_until(pool.uid, now_seconds) is not None:
            return False
        max_loss_ppm = pool.spec.sla.max_loss_ppm if pool.spec is not None else None
        last = self._writes.get(pool.uid)
        if last is None:
            return write_is_due(pool.status, status, None, now_seconds, max_loss_ppm)
        # A read that began before the write ended may return the previous status.
        edited = read_at_seconds > last.at_seconds and pool.status != last.returned
        return edited or write_is_due(last.computed, status, last.at_seconds, now_seconds, max_loss_ppm)

    def paused_until(self, uid: str, now_seconds: float) -> float | None:
        """Return until when no status of the pool may be written; None when one may."""
        last, refused_at = self._writes.get(uid), self._refused_at.get(uid)
        ends = (
            None if last is None else last.at_seconds + MIN_PAUSE_SECONDS,
            None if refused_at is None else refused_at + REFUSED_PAUSE_SECONDS,
        )
        return max((end for end in ends if end is not None and end > now_seconds), default=None)

    def awaits_relays_until(self, pool: Pool, status: Mapping[str, Any], now_seconds: float) -> float | None:
        """Return until when a status waits for relays to confirm an edit; None for any other.

        Relays confirm most edits in half a second. A status written before would delay the one that says so.
        """
        last = self._writes.get(pool.uid)
        if last is None or last.computed.get("observedGeneration") == pool.generation or not _is_pending(status):
            self._edited_at.pop(pool.uid, None)
            return None
        until = self._edited_at.setdefault(pool.uid, now_seconds) + CONFIRM_SECONDS
        return until if until > now_seconds else None

    def record_write(
        self, uid: str, computed: Mapping[str, Any], returned: Mapping[str, Any], now_seconds: float
    ) -> None:
        """Record a write that ended at `now_seconds`; `returned` is the status as stored."""
        self._writes[uid] = _Write(computed, returned, now_seconds)
        self._refused_at.pop(uid, None)

    def record_refusal(self, uid: str, now_seconds: float) -> None:
        """Record that the API server rejected the status."""
        self._refused_at[uid] = now_seconds

    def keep_only(self, uids: set[str]) -> None:
        """Forget all other pools."""
        for held in (self._writes, self._refused_at, self._edited_at):
            for uid in held.keys() - uids:
                del held[uid]


def _is_pending(status: Mapping[str, Any]) -> bool:
    return any((each["type"], each["reason"]) == ("Programmed", "Pending") for each in status["conditions"])

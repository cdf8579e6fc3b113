"""What was written to each pool's status and what the API server made of it, so that an edit by others shows. Pure.

What is listed can't be compared with what was computed: a definition that is older than the operator drops fields, and
the operator would write them for ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtppool_operator.pools.spec import Pool
from rtppool_operator.status.write_policy import MIN_PAUSE_SECONDS, write_is_due

# A status that the API server refuses is tried again, and not at every look.
REFUSED_PAUSE_SECONDS = 10.0
ROUNDING_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class _Told:
    computed: Mapping[str, Any]
    returned: Mapping[str, Any]
    at_seconds: float


@dataclass(slots=True)
class StatusMemory:
    """By pool uid. Times are monotonic."""

    _told: dict[str, _Told] = field(default_factory=dict)
    _refused_at: dict[str, float] = field(default_factory=dict)

    def conditions(self, pool: Pool) -> Sequence[Mapping[str, Any]]:
        """The conditions as this operator wrote them; before that, as they stand."""
        told = self._told.get(pool.uid)
        conditions = (pool.status if told is None else told.computed).get("conditions")
        return conditions if isinstance(conditions, list) else []

    def is_due(self, pool: Pool, status: Mapping[str, Any], looked_at_seconds: float, now_seconds: float) -> bool:
        """Whether `status` should be written; `pool` was listed by a look that began at `looked_at_seconds`."""
        refused = self._refused_at.get(pool.uid)
        if refused is not None and now_seconds - refused < REFUSED_PAUSE_SECONDS:
            return False
        max_loss_ppm = pool.spec.sla.max_loss_ppm if pool.spec is not None else None
        told = self._told.get(pool.uid)
        if told is None:
            return write_is_due(pool.status, status, None, now_seconds, max_loss_ppm)
        # A look that began before the write ended may show what was there before.
        edited = looked_at_seconds > told.at_seconds and pool.status != told.returned
        if edited and now_seconds - told.at_seconds >= MIN_PAUSE_SECONDS:
            return True
        return write_is_due(told.computed, status, told.at_seconds, now_seconds, max_loss_ppm)

    def held_until(
        self, pool: Pool, status: Mapping[str, Any], looked_at_seconds: float, now_seconds: float
    ) -> float | None:
        """When a status that is not due yet will be, because the last write was a moment ago; None: not by itself."""
        told = self._told.get(pool.uid)
        if told is None or now_seconds - told.at_seconds >= MIN_PAUSE_SECONDS:
            return None
        then = told.at_seconds + MIN_PAUSE_SECONDS
        return then if self.is_due(pool, status, looked_at_seconds, then + ROUNDING_SECONDS) else None

    def written(self, uid: str, computed: Mapping[str, Any], returned: Mapping[str, Any], now_seconds: float) -> None:
        """The write ended at `now_seconds`; `returned` is what the API server keeps."""
        self._told[uid] = _Told(computed, returned, now_seconds)
        self._refused_at.pop(uid, None)

    def refused(self, uid: str, now_seconds: float) -> None:
        """The API server does not take what was to be written."""
        self._refused_at[uid] = now_seconds

    def forget(self, uids: set[str]) -> None:
        """Keep only these pools' memory."""
        for held in (self._told, self._refused_at):
            for uid in [uid for uid in held if uid not in uids]:
                del held[uid]

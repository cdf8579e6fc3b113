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
class _Write:
    computed: Mapping[str, Any]
    returned: Mapping[str, Any]
    at_seconds: float


@dataclass(slots=True)
class StatusMemory:
    """By pool uid. Times are monotonic."""

    _writes: dict[str, _Write] = field(default_factory=dict)
    _refused_at: dict[str, float] = field(default_factory=dict)

    def conditions(self, pool: Pool) -> Sequence[Mapping[str, Any]]:
        """The conditions as this operator wrote them; before that, as they stand."""
        last = self._writes.get(pool.uid)
        conditions = (pool.status if last is None else last.computed).get("conditions")
        return conditions if isinstance(conditions, list) else []

    def is_due(self, pool: Pool, status: Mapping[str, Any], read_at_seconds: float, now_seconds: float) -> bool:
        """Whether `status` should be written; `pool` was listed by a look that began at `looked_at_seconds`."""
        record_refusal = self._refused_at.get(pool.uid)
        if record_refusal is not None and now_seconds - record_refusal < REFUSED_PAUSE_SECONDS:
            return False
        max_loss_ppm = pool.spec.sla.max_loss_ppm if pool.spec is not None else None
        last = self._writes.get(pool.uid)
        if last is None:
            return write_is_due(pool.status, status, None, now_seconds, max_loss_ppm)
        # A look that began before the write ended may show what was there before.
        edited = read_at_seconds > last.at_seconds and pool.status != last.returned
        if edited and now_seconds - last.at_seconds >= MIN_PAUSE_SECONDS:
            return True
        return write_is_due(last.computed, status, last.at_seconds, now_seconds, max_loss_ppm)

    def held_until(
        self, pool: Pool, status: Mapping[str, Any], read_at_seconds: float, now_seconds: float
    ) -> float | None:
        """When a status that is not due yet will be, because the last write was a moment ago; None: not by itself."""
        last = self._writes.get(pool.uid)
        if last is None or now_seconds - last.at_seconds >= MIN_PAUSE_SECONDS:
            return None
        then = last.at_seconds + MIN_PAUSE_SECONDS
        return then if self.is_due(pool, status, read_at_seconds, then + ROUNDING_SECONDS) else None

    def record_write(
        self, uid: str, computed: Mapping[str, Any], returned: Mapping[str, Any], now_seconds: float
    ) -> None:
        """The write ended at `now_seconds`; `returned` is what the API server keeps."""
        self._writes[uid] = _Write(computed, returned, now_seconds)
        self._refused_at.pop(uid, None)

    def record_refusal(self, uid: str, now_seconds: float) -> None:
        """The API server does not take what was to be written."""
        self._refused_at[uid] = now_seconds

    def keep_only(self, uids: set[str]) -> None:
        """Keep only these pools' memory."""
        for held in (self._writes, self._refused_at):
            for uid in [uid for uid in held if uid not in uids]:
                del held[uid]

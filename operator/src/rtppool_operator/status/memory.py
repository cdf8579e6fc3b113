"""What the operator remembers of pools between two rounds, and which pools it computes in a round.

An older definition drops fields. So the operator compares a listed status with the stored one, not with the computed
one: it notices edits of other clients, and does not write dropped fields again and again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rtppool_core.contract.report import Report
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.spec import Pool, PoolEvent, RelayPod
from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.merged_window import merge_latency
from rtppool_operator.status.write_policy import FIGURES_PAUSE_SECONDS, MIN_PAUSE_SECONDS, write_is_due

# The pause after the API server has rejected a status.
REFUSED_PAUSE_SECONDS = 10.0
# A status that says that relays do not run an edit yet waits this long after the edit.
CONFIRM_SECONDS = 0.7
# At most one event for a condition in this time. A change within it is reported after it.
EVENT_PAUSE_SECONDS = 10.0
REPORTED_TYPES = ("Ready", "SLAMet")
NEVER, NOT_HELD = float("-inf"), float("inf")


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool with the relays on its nodes, the status that was computed of them, and the conditions before."""

    observation: PoolObservation
    status: Mapping[str, Any]
    before: Sequence[Mapping[str, Any]] = ()

    @property
    def pool(self) -> Pool:
        """The pool."""
        return self.observation.claim.pool


@dataclass(slots=True)
class PoolMemory:
    """One pool. Times are monotonic, in seconds.

    `claim` and `view` are of the last computation, and at `held_until_seconds` the next one is due, whatever happens.
    `computed` is the last written status (None: not by this process), and `stored` is it as the API server has it.
    """

    claim: Claim | None = None
    view: PoolView | None = None
    computed_at_seconds: float = NEVER
    held_until_seconds: float = NOT_HELD
    is_broken: bool = False
    computed: Mapping[str, Any] | None = None
    stored: Mapping[str, Any] = field(default_factory=dict)
    written_at_seconds: float = NEVER
    refused_at_seconds: float = NEVER
    edited_at_seconds: float | None = None
    _latency: tuple[float, list[Any], dict[str, dict[str, int]]] = (NEVER, [], {})
    # The status of the last event and its time, by condition.
    _sent: dict[str, tuple[str, float]] = field(default_factory=dict)

    def conditions(self, pool: Pool) -> Sequence[Mapping[str, Any]]:
        """Return the conditions of this operator's last write; before the first one, those of the pool."""
        conditions = (pool.status if self.computed is None else self.computed).get("conditions")
        return conditions if isinstance(conditions, list) else []

    def is_due(self, pool: Pool, status: Mapping[str, Any], read_at_seconds: float, now_seconds: float) -> bool:
        """Return whether to write `status`. `pool` is from a read of the cluster that began at `read_at_seconds`."""
        if self.paused_until(now_seconds) is not None:
            return False
        max_loss_ppm = pool.spec.sla.max_loss_ppm if pool.spec is not None else None
        if self.computed is None:
            return write_is_due(pool.status, status, None, now_seconds, max_loss_ppm)
        # A read that began before the write ended may return the previous status.
        edited = read_at_seconds > self.written_at_seconds and pool.status != self.stored
        return edited or write_is_due(self.computed, status, self.written_at_seconds, now_seconds, max_loss_ppm)

    def paused_until(self, now_seconds: float) -> float | None:
        """Return until when no status of the pool may be written; None when one may."""
        end = max(self.written_at_seconds + MIN_PAUSE_SECONDS, self.refused_at_seconds + REFUSED_PAUSE_SECONDS)
        return end if end > now_seconds else None

    def awaits_relays_until(self, pool: Pool, status: Mapping[str, Any], now_seconds: float) -> float | None:
        """Return until when a status waits for relays to confirm an edit; None for any other.

        Relays confirm most edits in half a second. A status written before would delay the one that says so.
        """
        seen = self.computed is None or self.computed.get("observedGeneration") == pool.generation
        if seen or not _is_pending(status):
            self.edited_at_seconds = None
            return None
        self.edited_at_seconds = now_seconds if self.edited_at_seconds is None else self.edited_at_seconds
        until = self.edited_at_seconds + CONFIRM_SECONDS
        return until if until > now_seconds else None

    def record_write(self, computed: Mapping[str, Any], stored: Mapping[str, Any], now_seconds: float) -> None:
        """Record a write that ended at `now_seconds`. The watch that shows the `stored` status brings no news."""
        self.computed, self.stored = computed, stored
        self.written_at_seconds, self.refused_at_seconds, self.held_until_seconds = now_seconds, NEVER, NOT_HELD
        if self.claim is not None:
            self.claim = replace(self.claim, pool=replace(self.claim.pool, status=stored))

    def latency(self, reports: Sequence[Report], now_seconds: float) -> dict[str, dict[str, int]]:
        """Return the merged windows of the pool's reports.

        Merging costs 0.1 ms a relay, and a status has new figures every 15 s. In between, the merged windows stand,
        unless other relays serve the pool or a relay begins or ceases to measure.
        """
        measured = [
            (each.relay, each.windows.calls is None, each.windows.probe is None, each.applied_generation)
            for each in reports
        ]
        merged_at, of, merged = self._latency
        if of != measured or now_seconds >= merged_at + FIGURES_PAUSE_SECONDS:
            merged = merge_latency(reports)
            self._latency = now_seconds, measured, merged
        return merged

    def events(
        self, before: Sequence[Mapping[str, Any]], conditions: Sequence[Mapping[str, Any]], now_seconds: float
    ) -> list[PoolEvent]:
        """Return the events that are due for changes of `Ready` and `SLAMet`.

        `before` has the conditions at this process' first sight of the pool.
        """
        old = {each["type"]: each["status"] for each in before if "type" in each and "status" in each}
        due = []
        for condition in conditions:
            kind, status = condition["type"], condition["status"]
            if kind not in REPORTED_TYPES:
                continue
            sent, at = self._sent.setdefault(kind, (old.get(kind, ""), NEVER))
            if status != sent and now_seconds - at >= EVENT_PAUSE_SECONDS:
                self._sent[kind] = status, now_seconds
                due.append(_event(condition))
        return due


@dataclass(slots=True)
class DuePools:
    """The memories of all pools by uid, and the relays of the last round. Times are monotonic."""

    memories: defaultdict[str, PoolMemory] = field(default_factory=lambda: defaultdict(PoolMemory))
    _relays: tuple[RelayPod, ...] = ()
    _silent: set[str] = field(default_factory=set)

    def nodes_with_news(self, relays: tuple[RelayPod, ...], uids: set[str], silent: set[str]) -> set[str]:
        """Return the nodes of `uids`, and of relays that came, changed, went, or are `silent` or no longer so."""
        pods = set(relays) ^ set(self._relays) if relays != self._relays else set()
        changed = self._silent ^ silent
        self._relays, self._silent = relays, silent
        return {relay.node for relay in pods} | nodes_of_relays(relays, changed | uids)

    def select(
        self,
        claims: Iterable[Claim],
        with_news: set[str],
        with_figures: set[str],
        unheard: set[str],
        now_seconds: float,
    ) -> list[Claim]:
        """Return the claims to compute now. All others are sets of nodes.

        Pools of `unheard` nodes wait. In the second after a write of its status a pool is held, and figures alone hold
        it until 15 s after it was last computed.
        """
        due = []
        for claim in claims:
            memory, own = self.memories[claim.pool.uid], nodes_of(claim)
            if not own.isdisjoint(unheard):
                continue
            if not own.isdisjoint(with_figures):
                memory.held_until_seconds = min(
                    memory.held_until_seconds, memory.computed_at_seconds + FIGURES_PAUSE_SECONDS
                )
            has_news = claim != memory.claim or not own.isdisjoint(with_news)
            if not has_news and memory.held_until_seconds > now_seconds:
                continue
            paused_until = memory.paused_until(now_seconds)
            if paused_until is not None:
                memory.held_until_seconds = paused_until
                continue
            memory.claim, memory.computed_at_seconds, memory.held_until_seconds = claim, now_seconds, NOT_HELD
            due.append(claim)
        return due

    def held_until_seconds(self) -> float:
        """Return when the next pool is computed, whatever happens; infinity without one."""
        return min((memory.held_until_seconds for memory in self.memories.values()), default=NOT_HELD)

    def keep_only(self, uids: Collection[str]) -> None:
        """Forget all other pools."""
        for uid in self.memories.keys() - set(uids):
            del self.memories[uid]


def nodes_of(claim: Claim) -> set[str]:
    """Return the nodes of a pool, with those that it can't serve."""
    return {*claim.owned, *(name for name, _ in claim.unserved)}


def nodes_of_relays(relays: Iterable[RelayPod], uids: Collection[str]) -> set[str]:
    """Return the nodes of the relays with these uids."""
    return {relay.node for relay in relays if relay.uid in uids}


def _is_pending(status: Mapping[str, Any]) -> bool:
    return any((each["type"], each["reason"]) == ("Programmed", "Pending") for each in status["conditions"])


def _event(condition: Mapping[str, Any]) -> PoolEvent:
    prefix = {"True": "", "False": "Not", "Unknown": "Unknown"}[condition["status"]]
    return PoolEvent(
        "Warning" if condition["status"] == "False" else "Normal",
        f"{prefix}{condition['type']}",
        f"{condition['type']} is {condition['status']} ({condition['reason']}): {condition['message']}",
    )

"""The pools whose status is computed in a round: those with news, and those that are held until now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.pools.desired import Claim
from rtppool_operator.status.memory import NOT_HELD, PoolMemory
from rtppool_operator.status.write_policy import FIGURES_PAUSE_SECONDS


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

"""The pools whose status is computed in a round: those with news, and those that are held until now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.pools.desired import Claim
from rtppool_operator.status.memory import StatusMemory
from rtppool_operator.status.write_policy import FIGURES_PAUSE_SECONDS


@dataclass(slots=True)
class DuePools:
    """What each pool was last computed of, and when it is computed again, by uid. Times are monotonic."""

    _claims: dict[str, Claim] = field(default_factory=dict)
    _computed_at: dict[str, float] = field(default_factory=dict)
    _held: dict[str, float] = field(default_factory=dict)
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
        memory: StatusMemory,
        now_seconds: float,
    ) -> list[Claim]:
        """Return the claims to compute now. All others are sets of nodes.

        Pools of `unheard` nodes wait. In the second after a write of its status a pool is held, and figures alone hold
        it until 15 s after it was last computed.
        """
        due = []
        for claim in claims:
            uid, own = claim.pool.uid, nodes_of(claim)
            if not own.isdisjoint(unheard):
                continue
            if not own.isdisjoint(with_figures):
                self._hold_at_most(uid, self._computed_at.get(uid, now_seconds) + FIGURES_PAUSE_SECONDS)
            has_news = claim != self._claims.get(uid) or not own.isdisjoint(with_news)
            if not has_news and self._held.get(uid, float("inf")) > now_seconds:
                continue
            paused_until = memory.paused_until(uid, now_seconds)
            if paused_until is not None:
                self.hold(uid, paused_until)
                continue
            self._held.pop(uid, None)
            self._claims[uid], self._computed_at[uid] = claim, now_seconds
            due.append(claim)
        return due

    def hold(self, uid: str, until_seconds: float) -> None:
        """Compute a pool again at this time, whatever happens."""
        self._held[uid] = until_seconds

    def held_until_seconds(self) -> float | None:
        """Return when the next pool is computed, whatever happens; None without one."""
        return min(self._held.values(), default=None)

    def record_write(self, claim: Claim, status: Any) -> None:
        """Note that a status was written and stored like this, so that the watch that shows it brings no news."""
        uid = claim.pool.uid
        self._held.pop(uid, None)
        self._claims[uid] = replace(claim, pool=replace(claim.pool, status=status))

    def keep_only(self, uids: set[str]) -> None:
        """Forget all other pools."""
        for held in (self._claims, self._computed_at, self._held):
            for uid in held.keys() - uids:
                del held[uid]

    def _hold_at_most(self, uid: str, until_seconds: float) -> None:
        self._held[uid] = min(until_seconds, self._held.get(uid, until_seconds))


def nodes_of(claim: Claim) -> set[str]:
    """Return the nodes of a pool, with those that it can't serve."""
    return {*claim.owned, *(name for name, _ in claim.unserved)}


def nodes_of_relays(relays: Iterable[RelayPod], uids: Collection[str]) -> set[str]:
    """Return the nodes of the relays with these uids."""
    return {relay.node for relay in relays if relay.uid in uids}

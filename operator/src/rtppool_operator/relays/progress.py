"""Relays on their way to what was written for them: who is behind, for how long, and when to nudge again. Pure.

The kubelet refreshes a mount at once when a pod's annotation changes, from what it knows of the ConfigMap at that
moment; when it has not seen the new one yet, it comes back after a minute or more. So a relay that stays behind has its
annotation changed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rtppool_core.contract.pools_file import PoolEntry
from rtppool_core.contract.report import Report
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.pools.desired import Desired, revision_in
from rtppool_operator.relays.observed import LastReport

# As long a relay on its way is asked more often; then it is as it is, and the kubelet's or the relay's fault.
URGENT_SECONDS = 10.0
FIRST_NUDGE_SECONDS = 1.5
NUDGE_PAUSE_SECONDS = 5.0
# A minute of nudges; from then on the kubelet's own refresh has been due, and more writes would help nobody.
NUDGES_AT_PACE = 12
SLOW_NUDGE_PAUSE_SECONDS = 60.0


def is_behind(report: Report, entry: PoolEntry | None) -> bool:
    """Whether a relay runs something else than its node's entry (None: the environment)."""
    if report.config_error is not None:
        return True
    if entry is None:
        return report.pool is not None
    if report.pool is None:
        return True
    return (report.pool.uid, report.applied_generation) != (entry.uid, entry.generation)


@dataclass(slots=True)
class _Lag:
    revision: str
    since_seconds: float
    nudges: int = 0
    next_nudge_seconds: float = 0.0


@dataclass(slots=True)
class RelayProgress:
    """Watches reports against what is desired. Times are monotonic."""

    _lags: dict[str, _Lag] = field(default_factory=dict)

    def watch(
        self, relays: Iterable[RelayPod], desired: Desired, last_reports: Mapping[str, LastReport], now_seconds: float
    ) -> None:
        """Take what relays said last. Of one that is silent or being stopped nothing is known."""
        ways = {}
        for relay in relays:
            last = last_reports.get(relay.uid)
            if relay.terminating or last is None or last.is_stale(now_seconds):
                continue
            if is_behind(last.report, desired.entries.get(relay.node)):
                ways[relay.uid] = self._lag(relay.uid, desired.revision_of(relay.node), now_seconds)
        self._lags = ways

    def urgent(self, now_seconds: float) -> set[str]:
        """The uids of relays worth asking more often."""
        return {uid for uid, way in self._lags.items() if now_seconds - way.since_seconds <= URGENT_SECONDS}

    def next_nudge_seconds(self) -> float | None:
        """When the first nudge is due; None while no relay is behind."""
        return min((way.next_nudge_seconds for way in self._lags.values()), default=None)

    def nudges_due(self, relays: Iterable[RelayPod], now_seconds: float) -> list[tuple[RelayPod, str]]:
        """The relays to annotate again, with the annotation. They count as nudged."""
        due = []
        for relay in relays:
            way = self._lags.get(relay.uid)
            if way is None or now_seconds < way.next_nudge_seconds:
                continue
            way.nudges += 1
            pause = NUDGE_PAUSE_SECONDS if way.nudges < NUDGES_AT_PACE else SLOW_NUDGE_PAUSE_SECONDS
            way.next_nudge_seconds = now_seconds + pause
            due.append((relay, f"{way.revision}.{_number(relay.revision, way.revision) + 1}"))
        return due

    def _lag(self, uid: str, revision: str, now_seconds: float) -> _Lag:
        known = self._lags.get(uid)
        if known is not None and known.revision == revision:
            return known
        return _Lag(revision, now_seconds, next_nudge_seconds=now_seconds + FIRST_NUDGE_SECONDS)


def _number(annotation: str | None, revision: str) -> int:
    """How often this revision was repeated, also by an operator before this one."""
    if annotation is None or revision_in(annotation) != revision:
        return 0
    number = annotation.partition(".")[2]
    return int(number) if number.isdecimal() and number.isascii() else 0

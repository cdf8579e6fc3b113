"""Relays that are behind their configuration: which ones, for how long, and when to annotate their pods again.

A changed annotation makes the kubelet refresh the mount at once, from its cached ConfigMap. If the cache is old, the
next refresh comes after a minute or more. So the operator nudges a relay that is still behind: it changes the
annotation again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rtppool_core.contract.pools_file import PoolEntry
from rtppool_core.contract.report import Report
from rtppool_operator.pools.desired import Desired, revision_in
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.observed import LastReport

# Poll a relay that is behind more often for this long, then return to the normal rate.
URGENT_SECONDS = 10.0
FIRST_NUDGE_SECONDS = 1.5
NUDGE_PAUSE_SECONDS = 5.0
# A minute of nudges. By then the kubelet's own refresh was due, and more writes do not help.
NUDGES_AT_PACE = 12
SLOW_NUDGE_PAUSE_SECONDS = 60.0


def is_behind(report: Report, entry: PoolEntry | None) -> bool:
    """Return whether a relay runs another configuration than its node's entry (None: its environment)."""
    runs = None if report.pool is None else (report.pool.uid, report.applied_generation)
    return report.config_error is not None or runs != (None if entry is None else (entry.uid, entry.generation))


@dataclass(slots=True)
class _Lag:
    revision: str
    since_seconds: float
    nudges: int = 0
    next_nudge_seconds: float = 0.0


@dataclass(slots=True)
class RelayProgress:
    """The relays that are behind. Times are monotonic."""

    _lags: dict[str, _Lag] = field(default_factory=dict)

    def update(
        self, relays: Iterable[RelayPod], desired: Desired, last_reports: Mapping[str, LastReport], now_seconds: float
    ) -> None:
        """Compare the last reports with the desired state. A silent or terminating relay counts as not behind."""
        lags = {}
        for relay in relays:
            last = last_reports.get(relay.uid)
            if relay.terminating or last is None or last.is_stale(now_seconds):
                continue
            if is_behind(last.report, desired.entries.get(relay.node)):
                lags[relay.uid] = self._lag(relay.uid, desired.revision_of(relay.node), now_seconds)
        self._lags = lags

    def urgent_uids(self, now_seconds: float) -> set[str]:
        """Return the uids of relays to poll more often."""
        return {uid for uid, lag in self._lags.items() if now_seconds - lag.since_seconds <= URGENT_SECONDS}

    def next_nudge_seconds(self) -> float:
        """Return when the first nudge is due; infinity while no relay is behind."""
        return min((lag.next_nudge_seconds for lag in self._lags.values()), default=float("inf"))

    def nudges_due(self, relays: Iterable[RelayPod], now_seconds: float) -> list[tuple[RelayPod, str]]:
        """Return the relays to annotate again with their annotations, and count the nudge."""
        due = []
        for relay in relays:
            lag = self._lags.get(relay.uid)
            if lag is None or now_seconds < lag.next_nudge_seconds:
                continue
            lag.nudges += 1
            pause = NUDGE_PAUSE_SECONDS if lag.nudges < NUDGES_AT_PACE else SLOW_NUDGE_PAUSE_SECONDS
            lag.next_nudge_seconds = now_seconds + pause
            due.append((relay, f"{lag.revision}.{_number(relay.revision, lag.revision) + 1}"))
        return due

    def _lag(self, uid: str, revision: str, now_seconds: float) -> _Lag:
        known = self._lags.get(uid)
        if known is not None and known.revision == revision:
            return known
        return _Lag(revision, now_seconds, next_nudge_seconds=now_seconds + FIRST_NUDGE_SECONDS)


def _number(annotation: str | None, revision: str) -> int:
    """Return the number of repetitions of this revision, including those of a previous operator."""
    if annotation is None or revision_in(annotation) != revision:
        return 0
    number = annotation.partition(".")[2]
    return int(number) if number.isdecimal() and number.isascii() else 0

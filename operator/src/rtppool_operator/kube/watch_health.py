"""Whether kopf's watch delivers the versions that lists show.

A watch can go silent without ending (kopf issues 585 and 810), and a quiet cluster looks the same. The operator also
lists pools every two seconds. A version that a list shows and the watch does not deliver proves that the watch is dead.
Times are monotonic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# kopf treats a watch without any event, bookmarks included, as dead after 70 s and opens another one.
INACTIVITY_SECONDS = 70.0
DEAD_AFTER_SECONDS = 2 * INACTIVITY_SECONDS


@dataclass(slots=True)
class WatchHealth:
    """By pool uid: the version that the watch delivered last, and since when lists show another one."""

    _delivered: dict[str, tuple[str | None, float]] = field(default_factory=dict)
    _missing_since: dict[str, float] = field(default_factory=dict)
    _last_seconds: float | None = None

    def record_event(self, uid: str, version: str | None, now_seconds: float) -> None:
        """Record a version of a pool that the watch delivered; None is its deletion."""
        self._delivered[uid] = (version, now_seconds)
        self._missing_since.pop(uid, None)
        self._last_seconds = now_seconds

    def record_list(self, versions: Mapping[str, str], began_seconds: float, now_seconds: float) -> None:
        """Record the versions by uid of a list that was requested at `began_seconds`."""
        for uid in [uid for uid in self._missing_since if uid not in versions]:
            del self._missing_since[uid]
        for uid, (_, at_seconds) in list(self._delivered.items()):
            # A pool that was created after the request may be missing in this list; the next one has it.
            if uid not in versions and at_seconds < began_seconds:
                del self._delivered[uid]
        for uid, version in versions.items():
            if self._delivered.get(uid, (None, 0.0))[0] == version:
                self._missing_since.pop(uid, None)
            else:
                self._missing_since.setdefault(uid, now_seconds)

    def behind_seconds(self, now_seconds: float) -> float:
        """Return the age of the oldest listed version that the watch has not delivered; 0 without one."""
        return max((now_seconds - since for since in self._missing_since.values()), default=0.0)

    def age_seconds(self, now_seconds: float) -> float | None:
        """Return the time since the watch's last event; None before the first."""
        return None if self._last_seconds is None else now_seconds - self._last_seconds

    def problem(self, now_seconds: float) -> str | None:
        """Return a sentence when the watch is dead."""
        behind = self.behind_seconds(now_seconds)
        if behind <= DEAD_AFTER_SECONDS:
            return None
        return f"the watch of pools has not delivered a version that lists have shown for {behind:.0f} s"

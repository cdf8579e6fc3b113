"""Whether the watch delivers what lists show. Pure.

A watch can go silent without an end (kopf issues 585 and 810), and a quiet cluster looks the same. But the operator
lists the pools every two seconds anyway: a version that stands in lists and does not come by the watch tells them
apart. Times are monotonic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# kopf takes a watch that brings nothing, not even a bookmark, for dead after 70 s, and opens another one.
INACTIVITY_SECONDS = 70.0
DEAD_AFTER_SECONDS = 2 * INACTIVITY_SECONDS


@dataclass(slots=True)
class WatchHealth:
    """By pool uid: the version that the watch delivered last, and since when a list shows another one."""

    _delivered: dict[str, tuple[str | None, float]] = field(default_factory=dict)
    _missing_since: dict[str, float] = field(default_factory=dict)
    _last_seconds: float | None = None

    def record_event(self, uid: str, version: str | None, now_seconds: float) -> None:
        """The watch brought a version of a pool; None is its deletion. It lives, so nothing of this pool is missing."""
        self._delivered[uid] = (version, now_seconds)
        self._missing_since.pop(uid, None)
        self._last_seconds = now_seconds

    def record_list(self, versions: Mapping[str, str], began_seconds: float, now_seconds: float) -> None:
        """A list that was asked for at `began_seconds` shows these versions by uid."""
        for uid in [uid for uid in self._missing_since if uid not in versions]:
            del self._missing_since[uid]
        for uid, (_, at_seconds) in list(self._delivered.items()):
            # What came after the list was asked for may be missing in it; the next one knows.
            if uid not in versions and at_seconds < began_seconds:
                del self._delivered[uid]
        for uid, version in versions.items():
            if self._delivered.get(uid, (None, 0.0))[0] == version:
                self._missing_since.pop(uid, None)
            else:
                self._missing_since.setdefault(uid, now_seconds)

    def behind_seconds(self, now_seconds: float) -> float:
        """How long the version that the watch owes for the longest time has stood in lists; 0 when it owes none."""
        return max((now_seconds - since for since in self._missing_since.values()), default=0.0)

    def age_seconds(self, now_seconds: float) -> float | None:
        """How long ago the watch brought anything; None before it did."""
        return None if self._last_seconds is None else now_seconds - self._last_seconds

    def problem(self, now_seconds: float) -> str | None:
        """A sentence once the watch is as good as dead."""
        behind = self.behind_seconds(now_seconds)
        if behind <= DEAD_AFTER_SECONDS:
            return None
        return f"the watch of pools has not brought what lists have shown for {behind:.0f} s"

"""Growth of the relay's counters over a load, from reads of `/status`.

A counter that an older relay does not have is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Growth:
    """Growth of a counter. A counter that fell belongs to a restarted relay, and grew from 0."""

    total: int | None = None
    _last: int | None = None

    def add(self, value: int | None) -> None:
        """Add a reading. The first one is the base."""
        if value is None:
            return
        if self._last is None:
            self.total = 0
        else:
            self.total = (self.total or 0) + (value - self._last if value >= self._last else value)
        self._last = value


@dataclass(slots=True)
class RelayCounts:
    """Counters over all readings of `/status`, the first before the load. `leased` and `active` are the last ones."""

    accepted: Growth = field(default_factory=Growth)
    cut: Growth = field(default_factory=Growth)
    adopted: Growth = field(default_factory=Growth)
    orphans_deleted: Growth = field(default_factory=Growth)
    leaked: Growth = field(default_factory=Growth)
    reused_early: Growth = field(default_factory=Growth)
    went_silent: Growth = field(default_factory=Growth)
    went_one_way: Growth = field(default_factory=Growth)
    refused: dict[str, Growth] = field(default_factory=dict)
    leased: int | None = None
    active: int | None = None
    leased_before: int | None = None
    active_before: int | None = None
    setup: Mapping[str, Any] | None = None
    first_return: Mapping[str, Any] | None = None
    _read: bool = False

    def add(self, status: Mapping[str, Any]) -> None:
        """Add a reading."""
        calls, ports = _part(status, "calls"), _part(status, "ports")
        self.accepted.add(_count(calls, "accepted"))
        self.cut.add(_count(calls, "cut"))
        self.adopted.add(_count(calls, "adopted"))
        self.orphans_deleted.add(_count(calls, "orphansDeleted"))
        self.went_silent.add(_count(calls, "wentSilent"))
        self.went_one_way.add(_count(calls, "wentOneWay"))
        self.leaked.add(_count(ports, "leaked"))
        self.reused_early.add(_count(ports, "reusedEarly"))
        self._add_refused(_part(calls, "refused"))
        self.leased, self.active = _count(ports, "leased"), _count(calls, "active")
        self.setup, self.first_return = calls.get("setup"), calls.get("firstReturn")
        if not self._read:
            self.leased_before, self.active_before, self._read = self.leased, self.active, True

    def refused_by_reason(self) -> dict[str, int]:
        """Return the refusals during the load, without reasons that did not occur."""
        return {reason: growth.total for reason, growth in self.refused.items() if growth.total}

    def leased_without_call(self) -> int | None:
        """Return the leased ports without an active call at the last reading."""
        if self.leased is None or self.active is None:
            return None
        return max(0, self.leased - self.active)

    def _add_refused(self, refused: Mapping[str, Any]) -> None:
        for reason in {*self.refused, *refused}:
            if reason not in self.refused:
                # A reason appears with its first refusal: before, the count was 0.
                self.refused[reason] = Growth(0, 0 if self._read else None)
            self.refused[reason].add(_count(refused, reason))


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return part if isinstance(part, Mapping) else {}


def _count(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None

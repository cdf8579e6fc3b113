"""The relay's records of a load's calls, each counted once, from repeated reads of `/calls`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["measured", "zero", "missing", "refused"]
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """`records` are ended calls that the relay had accepted: `records = measured + zero + missing`.

    `zero`: the median round trip is 0. `missing`: no packet was answered. `gaps`: reads in which every record was new,
    so that the relay may have dropped records unread.
    """

    records: int
    zero: int
    missing: int
    refused: int
    gaps: int


class CallLedger:
    """Collects records from reads of `/calls`. Calls in the first read are not part of the load."""

    def __init__(self, first: Mapping[str, Any]) -> None:
        self._foreign = {_key(call) for part in ("live", "recent") for call in _calls(first, part)}
        self._kinds: dict[Key, Kind] = {}
        self._gaps = 0

    def add(self, document: Mapping[str, Any]) -> None:
        """Add the records of calls that have ended since the last read."""
        ended = [call for call in _calls(document, "recent") if _key(call) not in self._foreign]
        fresh = [call for call in ended if _key(call) not in self._kinds]
        if self._kinds and ended and len(fresh) == len(_calls(document, "recent")):
            self._gaps += 1
        for call in fresh:
            self._kinds[_key(call)] = _kind(call)

    def counts(self) -> RecordCounts:
        """Return the counts of all records."""
        kinds = list(self._kinds.values())
        refused = kinds.count("refused")
        return RecordCounts(len(kinds) - refused, kinds.count("zero"), kinds.count("missing"), refused, self._gaps)


def _calls(document: Mapping[str, Any], part: str) -> list[Mapping[str, Any]]:
    calls = document.get(part)
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _key(call: Mapping[str, Any]) -> Key:
    """Name and start identify a record: an adopted call keeps its name, with a new start."""
    started = call.get("startedUnixMs")
    return str(call.get("call")), started if isinstance(started, int) else 0


def _kind(call: Mapping[str, Any]) -> Kind:
    if call.get("refused") is not None:
        return "refused"
    figures = call.get("figures")
    median_us = figures.get("p50Microseconds") if isinstance(figures, Mapping) else None
    if not isinstance(median_us, int):
        return "missing"
    return "measured" if median_us > 0 else "zero"

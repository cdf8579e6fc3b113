"""A relay's own records of the calls of a load, each once, read out of `/calls` as they end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["measured", "zero", "missing", "refused"]
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """`records` are calls that the relay took and that ended: `records = measured + zero + missing`.

    `zero`: its median round trip is 0; `missing`: no packet of it was answered. `gaps`: polls of which every record was
    new, so that others may have been pushed out before they were read.
    """

    records: int
    zero: int
    missing: int
    refused: int
    gaps: int


class CallLedger:
    """Takes `/calls` again and again. Calls that are known at the first look belong to somebody else."""

    def __init__(self, first: Mapping[str, Any]) -> None:
        self._foreign = {_key(call) for part in ("live", "recent") for call in _calls(first, part)}
        self._kinds: dict[Key, Kind] = {}
        self._gaps = 0

    def add(self, document: Mapping[str, Any]) -> None:
        """Take the records of calls that have ended since."""
        ended = [call for call in _calls(document, "recent") if _key(call) not in self._foreign]
        fresh = [call for call in ended if _key(call) not in self._kinds]
        if self._kinds and ended and len(fresh) == len(_calls(document, "recent")):
            self._gaps += 1
        for call in fresh:
            self._kinds[_key(call)] = _kind(call)

    def counts(self) -> RecordCounts:
        """All of them."""
        kinds = list(self._kinds.values())
        refused = kinds.count("refused")
        return RecordCounts(len(kinds) - refused, kinds.count("zero"), kinds.count("missing"), refused, self._gaps)


def _calls(document: Mapping[str, Any], part: str) -> list[Mapping[str, Any]]:
    calls = document.get(part)
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _key(call: Mapping[str, Any]) -> Key:
    """An adopted call keeps its name and begins anew."""
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

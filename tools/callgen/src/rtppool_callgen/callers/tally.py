"""Counts of a load's calls, from the callers' side."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtppool_callgen.plan.caller_events import CallerEvent, Ended, NotPlaced, Over, Placed
from rtppool_core.contract.report import import_histogram
from rtppool_core.statistics.histogram import Histogram


@dataclass(slots=True)
class Tally:
    """`placed = completed + refused + failed + interrupted + active`, always. `not_placed` are not part of it.

    `heard_nothing` counts completed calls whose caller sent packets and received none. It and `round_trips` are None
    for callers that count no packets. The objects left in Asterisk are known when `over`, if callers can list them.
    Callers without `knows_refusals` count a refused call as failed.
    """

    placed: int = 0
    completed: int = 0
    interrupted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    not_placed: dict[str, int] = field(default_factory=dict)
    heard_nothing: int | None = None
    round_trips: Histogram | None = None
    channels_left: int | None = None
    bridges_left: int | None = None
    over: bool = False
    knows_refusals: bool = True

    @property
    def active(self) -> int:
        """The calls that have not ended."""
        ended = self.completed + self.interrupted + sum(self.refused.values()) + sum(self.failed.values())
        return self.placed - ended

    def add(self, event: CallerEvent) -> None:
        """Count an event.

        Raises:
            SchemeError: a histogram is impossible.
        """
        match event:
            case Placed():
                self.placed += 1
            case NotPlaced(reason):
                self.not_placed[reason] = self.not_placed.get(reason, 0) + 1
            case Ended():
                self._ended(event)
            case Over(channels_left, bridges_left):
                self.channels_left, self.bridges_left, self.over = channels_left, bridges_left, True

    def _ended(self, end: Ended) -> None:
        reason = end.reason or "Unknown"
        match end.outcome:
            case "completed":
                self.completed += 1
                if end.returned is not None:
                    self.heard_nothing = (self.heard_nothing or 0) + (end.returned == 0)
            case "interrupted":
                self.interrupted += 1
            case "refused":
                self.refused[reason] = self.refused.get(reason, 0) + 1
            case "failed":
                self.failed[reason] = self.failed.get(reason, 0) + 1
        if end.round_trips is not None:
            if self.round_trips is None:
                self.round_trips = Histogram()
            self.round_trips.merge(import_histogram(end.round_trips))

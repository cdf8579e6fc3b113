"""Who calls when in a load test: lines that call one after another. Pure; times are seconds since the load began.

A line is a caller who calls again a moment after the last call has ended. Lines open `per_second` apart and each stays
open for `duration_seconds`, so that the load is a trapezoid: it rises while lines open, is held, and falls as fast.
No call begins that its line would not let last.
"""

from __future__ import annotations

from dataclasses import dataclass

# Between a line's calls: the relay lets go of the last one, or it would have more calls at a time than asked for.
PAUSE_SECONDS = 0.2
# After a call that ended too soon its line waits so long: a relay that refuses is not hammered.
AGAIN_SECONDS = 1.0
# What setting up and tearing down may take from a line's last call, in all.
SLACK_SECONDS = 2.0
# A caller who is further behind than this is not made up for, or the calls missed would arrive in one burst.
BEHIND_SECONDS = 1.0
# `/calls` of a relay remembers 200: at this share of them the next poll is due.
RECORDS_BETWEEN_POLLS = 100
CALLS_POLL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """`concurrent` calls at a time, each `call_seconds` long, `per_second` of them arriving."""

    concurrent: int
    per_second: float
    duration_seconds: float
    call_seconds: float

    def problems(self) -> tuple[str, ...]:
        """Why this can't be done, a sentence each."""
        found = []
        if self.call_seconds > self.duration_seconds:
            found.append(
                f"--call-duration {self.call_seconds:g}: no call of that length fits in --duration "
                f"{self.duration_seconds:g}; accepted is a call duration up to it"
            )
        at_most = self.per_second * self.call_seconds
        if at_most < self.concurrent:
            found.append(
                f"--per-second {self.per_second:g}: with calls of {self.call_seconds:g} s there are never more than "
                f"{at_most:g} at a time; accepted for --concurrent {self.concurrent} are "
                f"{self.concurrent / self.call_seconds:.2g} and more"
            )
        return tuple(found)

    @property
    def ramp_seconds(self) -> float:
        """When the last line opens."""
        return (self.concurrent - 1) / self.per_second

    @property
    def last_arrival_seconds(self) -> float:
        """When the last call begins at the latest."""
        return self.total_seconds - self.call_seconds

    @property
    def total_seconds(self) -> float:
        """When the last call has ended."""
        return self.line_seconds + self.ramp_seconds

    @property
    def calls_a_line(self) -> int:
        """How many calls of a line fit."""
        return int(self.duration_seconds / self.call_seconds + 1e-9)

    @property
    def line_seconds(self) -> float:
        """How long a line stays open: its calls, and the pauses between them."""
        pauses_seconds = (self.calls_a_line - 1) * PAUSE_SECONDS
        return max(self.duration_seconds, self.calls_a_line * self.call_seconds + pauses_seconds)

    @property
    def calls(self) -> int:
        """How many calls that makes when none ends early."""
        return self.concurrent * self.calls_a_line

    @property
    def calls_poll_seconds(self) -> float:
        """How often the relay's `/calls` must be read so that no record is pushed out unread."""
        return min(CALLS_POLL_SECONDS, RECORDS_BETWEEN_POLLS / self.per_second)


@dataclass(slots=True)
class _Line:
    """Either a call lives, or the next one is due, or the line is closed (both None)."""

    closes_seconds: float
    due_seconds: float | None
    hangs_up_seconds: float | None = None


class Lines:
    """All lines of a plan. Ask which callers hang up and which arrive, and tell of calls that ended by themselves."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._apart_seconds = 1 / plan.per_second
        self._next_arrival_seconds = 0.0
        slack = min(SLACK_SECONDS, plan.call_seconds / 2)
        opened = (line * self._apart_seconds for line in range(plan.concurrent))
        self._lines = [_Line(opens + plan.line_seconds + slack, opens) for opens in opened]

    @property
    def over(self) -> bool:
        """No call lives and none is due."""
        return all(line.due_seconds is None and line.hangs_up_seconds is None for line in self._lines)

    @property
    def talking(self) -> int:
        """Calls that live."""
        return sum(line.hangs_up_seconds is not None for line in self._lines)

    def hanging_up(self, now_seconds: float) -> list[int]:
        """Lines whose callers hang up now, by number; their calls have lasted."""
        found = []
        for number, line in enumerate(self._lines):
            ends = line.hangs_up_seconds
            if ends is not None and ends <= now_seconds:
                self._call_again(line, ends + PAUSE_SECONDS)
                found.append(number)
        return found

    def arriving(self, now_seconds: float) -> list[int]:
        """Lines whose callers arrive now, by number; their calls live from now on."""
        found = []
        waiting = [
            (line.due_seconds, number) for number, line in enumerate(self._lines) if line.due_seconds is not None
        ]
        for due_seconds, number in sorted(waiting):
            begins = max(due_seconds, self._next_arrival_seconds)
            if begins > now_seconds:
                break
            if begins < now_seconds - BEHIND_SECONDS:
                begins = now_seconds
            line = self._lines[number]
            line.due_seconds = None
            # Behind the rate's limit a line may have lost the time for another call.
            if self._lasts(line, begins):
                line.hangs_up_seconds = begins + self._plan.call_seconds
                self._next_arrival_seconds = begins + self._apart_seconds
                found.append(number)
        return found

    def ended(self, number: int, now_seconds: float) -> None:
        """A line's call ended before its time: refused, cut, or never placed."""
        line = self._lines[number]
        if line.hangs_up_seconds is not None:
            self._call_again(line, now_seconds + AGAIN_SECONDS)

    def next_seconds(self) -> float | None:
        """When to ask again; None when all is over."""
        hang_ups = [line.hangs_up_seconds for line in self._lines if line.hangs_up_seconds is not None]
        due = [line.due_seconds for line in self._lines if line.due_seconds is not None]
        arrivals = [max(min(due), self._next_arrival_seconds)] if due else []
        return min(hang_ups + arrivals, default=None)

    def _call_again(self, line: _Line, at_seconds: float) -> None:
        line.hangs_up_seconds = None
        line.due_seconds = at_seconds if self._lasts(line, at_seconds) else None

    def _lasts(self, line: _Line, begins_seconds: float) -> bool:
        return begins_seconds + self._plan.call_seconds <= line.closes_seconds

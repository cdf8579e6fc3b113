"""The schedule of a load test. Times are seconds since the load began.

A line is a caller that calls again a moment after its call has ended. `per_second` lines open each second, and each
stays open for `duration_seconds`. The load is therefore a trapezoid: it rises, stays constant, and falls at the same
rate. A line places no call that would outlast it.
"""

from __future__ import annotations

from dataclasses import dataclass

# Between a line's calls the relay tears the last one down. Otherwise it would have too many concurrent calls.
PAUSE_SECONDS = 0.2
# The pause after a call that ended too soon: a relay that refuses calls is not flooded.
RETRY_SECONDS = 1.0
# The time for set-up and teardown that does not cost a line its last call.
SLACK_SECONDS = 2.0
# A longer delay is not made up for: the missed calls would arrive in one burst.
MAX_BEHIND_SECONDS = 1.0
# `/calls` of a relay keeps 200 records: the next poll is due after this many.
RECORDS_BETWEEN_POLLS = 100
CALLS_POLL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """`concurrent` calls of `call_seconds` each, `per_second` of them placed each second."""

    concurrent: int
    per_second: float
    duration_seconds: float
    call_seconds: float

    def problems(self) -> tuple[str, ...]:
        """Return a sentence for each reason that makes the plan impossible."""
        found = []
        if self.call_seconds > self.duration_seconds:
            found.append(
                f"--call-duration {self.call_seconds:g}: no call of that length fits in --duration "
                f"{self.duration_seconds:g}; accepted is a call duration up to it"
            )
        max_calls = self.per_second * self.call_seconds
        if max_calls < self.concurrent:
            found.append(
                f"--per-second {self.per_second:g}: calls of {self.call_seconds:g} s never exceed "
                f"{max_calls:g} concurrent calls; accepted for --concurrent {self.concurrent} are "
                f"{self.concurrent / self.call_seconds:.2g} or more"
            )
        return tuple(found)

    @property
    def ramp_seconds(self) -> float:
        """The time when the last line opens."""
        return (self.concurrent - 1) / self.per_second

    @property
    def last_arrival_seconds(self) -> float:
        """The latest start of the last call."""
        return self.total_seconds - self.call_seconds

    @property
    def total_seconds(self) -> float:
        """The end of the last call."""
        return self.line_seconds + self.ramp_seconds

    @property
    def calls_per_line(self) -> int:
        """The number of calls that fit in a line."""
        return int(self.duration_seconds / self.call_seconds + 1e-9)

    @property
    def line_seconds(self) -> float:
        """The time that a line stays open: its calls, and the pauses between them."""
        pauses_seconds = (self.calls_per_line - 1) * PAUSE_SECONDS
        return max(self.duration_seconds, self.calls_per_line * self.call_seconds + pauses_seconds)

    @property
    def calls(self) -> int:
        """The number of calls when none ends early."""
        return self.concurrent * self.calls_per_line

    @property
    def calls_poll_seconds(self) -> float:
        """The interval of reads of the relay's `/calls` that misses no record."""
        return min(CALLS_POLL_SECONDS, RECORDS_BETWEEN_POLLS / self.per_second)


@dataclass(slots=True)
class _Line:
    """Either a call is active, or the next one is due, or the line is closed (both None)."""

    closes_seconds: float
    due_seconds: float | None
    hangs_up_seconds: float | None = None


class Lines:
    """All lines of a plan: returns the calls to end and to place, and accepts calls that ended by themselves."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._apart_seconds = 1 / plan.per_second
        self._next_arrival_seconds = 0.0
        slack = min(SLACK_SECONDS, plan.call_seconds / 2)
        opened = (line * self._apart_seconds for line in range(plan.concurrent))
        self._lines = [_Line(opens + plan.line_seconds + slack, opens) for opens in opened]

    @property
    def over(self) -> bool:
        """Whether no call is active and none is due."""
        return all(line.due_seconds is None and line.hangs_up_seconds is None for line in self._lines)

    @property
    def active(self) -> int:
        """The active calls."""
        return sum(line.hangs_up_seconds is not None for line in self._lines)

    def take_hang_ups(self, now_seconds: float) -> list[int]:
        """Return the numbers of the lines whose calls are due to end, and end these calls."""
        found = []
        for number, line in enumerate(self._lines):
            ends = line.hangs_up_seconds
            if ends is not None and ends <= now_seconds:
                self._call_again(line, ends + PAUSE_SECONDS)
                found.append(number)
        return found

    def take_arrivals(self, now_seconds: float) -> list[int]:
        """Return the numbers of the lines whose calls are due, and start these calls."""
        found = []
        waiting = [
            (line.due_seconds, number) for number, line in enumerate(self._lines) if line.due_seconds is not None
        ]
        for due_seconds, number in sorted(waiting):
            begins = max(due_seconds, self._next_arrival_seconds)
            if begins > now_seconds:
                break
            if begins < now_seconds - MAX_BEHIND_SECONDS:
                begins = now_seconds
            line = self._lines[number]
            line.due_seconds = None
            # Delayed by the rate, a line may have no time left for another call.
            if self._lasts(line, begins):
                line.hangs_up_seconds = begins + self._plan.call_seconds
                self._next_arrival_seconds = begins + self._apart_seconds
                found.append(number)
        return found

    def ended(self, number: int, now_seconds: float) -> None:
        """Note that a call ended early: refused, cut, or never placed."""
        line = self._lines[number]
        if line.hangs_up_seconds is not None:
            self._call_again(line, now_seconds + RETRY_SECONDS)

    def next_seconds(self) -> float | None:
        """Return the time of the next hang-up or arrival; None when the plan is over."""
        hang_ups = [line.hangs_up_seconds for line in self._lines if line.hangs_up_seconds is not None]
        due = [line.due_seconds for line in self._lines if line.due_seconds is not None]
        arrivals = [max(min(due), self._next_arrival_seconds)] if due else []
        return min(hang_ups + arrivals, default=None)

    def _call_again(self, line: _Line, at_seconds: float) -> None:
        line.hangs_up_seconds = None
        line.due_seconds = at_seconds if self._lasts(line, at_seconds) else None

    def _lasts(self, line: _Line, begins_seconds: float) -> bool:
        return begins_seconds + self._plan.call_seconds <= line.closes_seconds

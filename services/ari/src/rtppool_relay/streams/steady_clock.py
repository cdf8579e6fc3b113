"""Steady time: Unix time at the first reading, and from then on the rate of CLOCK_MONOTONIC_RAW.

Kernel receive stamps are wall-clock times, and the wall clock is stepped and slewed. All figures are computed in steady
time. While the wall clock is calm, a row's times are shifted as a whole. Around a step or a slew, each row is placed by
its own readings of CLOCK_MONOTONIC_RAW: between x and y they show by how much the wall clock ran too fast, or that it
stepped. A step has no length, so no row waits for the wall clock to be where it was.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.media.clock_readings import ClockReading
from rtppool_relay.media.rows import RAW_UNIT_BITS, RAW_UNIT_NS, RAW_UNITS

# NTP corrects an oscillator by less, and a slew is faster: adjtime slews by 500 ppm.
MIN_SLEW = 200e-6
# The kernel slews by 10 % and the frequency's 500 ppm at most. A faster change is a step.
MAX_SLEW = 0.101
# Two readings of clocks that agree may differ by so much.
READING_ERROR_NS = 10_000
# A shorter interval can't show that a slew has ended.
MIN_INTERVAL_NS = 50_000_000
# Rows of a stream wait for less. A row's reading of CLOCK_MONOTONIC_RAW is unique for 9 minutes.
DISTURBED_FOR_NS = 60_000_000_000
MAX_STEPS_KEPT = 32
CALM_READINGS = 128
# The readings of the 30 s that a baseline of lateness needs, and more.
SLEWED_READINGS = 512

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Step:
    """The wall clock moved by `size_ns` between two readings, in steady ns."""

    after_ns: int
    before_ns: int
    size_ns: int


@dataclass(slots=True)
class SteadyClock:
    """The wall clock's steps and slews, and times in steady ns.

    A slew is one event from its begin to its end. Before the first reading, steady time is the wall clock's.
    """

    steps: int = 0
    slews: int = 0
    _raw_to_steady_ns: int = 0
    _last: ClockReading | None = None
    _pending: _Step | None = None
    _slewing: bool = False
    _disturbed_until_ns: int | None = None
    _steps: deque[_Step] = field(default_factory=lambda: deque(maxlen=MAX_STEPS_KEPT))
    # Of the latest calm readings: steady time, and the wall clock's lead over it.
    _calm: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=CALM_READINGS))
    # The latest lead, when it was read, and by how much it grows a ns.
    _lead: tuple[int, int, float] = (0, 0, 0.0)
    # While slewed: steady time, and by how much the wall clock has been slewed since the first reading.
    _slewed: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SLEWED_READINGS))

    def compare(self, reading: ClockReading) -> None:
        """Compare both clocks; call it ten times a second, and before each collection of rows."""
        last = self._last
        if last is None:
            self._raw_to_steady_ns = reading.wall_ns - reading.raw_ns
            self._accept(reading)
            return
        elapsed = reading.raw_ns - last.raw_ns
        change = (reading.wall_ns - last.wall_ns) - elapsed
        error = reading.error_ns + last.error_ns + READING_ERROR_NS
        if abs(change) <= elapsed * MIN_SLEW + error:
            if elapsed >= MIN_INTERVAL_NS:
                self._end_event()
                self._accept(reading)
            return
        self._disturbed_until_ns = self.steady_ns(reading.raw_ns)
        moved = _Step(self.steady_ns(last.raw_ns), self._disturbed_until_ns, change)
        if abs(change) > elapsed * MAX_SLEW + error:
            self._count_step(moved)
        else:
            self._continue_slew(moved)
            self._extend_slewed(moved)
        self._calm.clear()
        self._accept(reading)

    def steady_ns(self, raw_ns: int) -> int:
        """Convert a reading of CLOCK_MONOTONIC_RAW."""
        return raw_ns + self._raw_to_steady_ns

    def wall_ns(self, steady_ns: int) -> int:
        """Return the wall clock's time at a steady time, as if it had run as now since then."""
        lead, at, rate = self._lead
        return steady_ns + lead + round((steady_ns - at) * rate)

    def is_disturbed(self, since_ns: int) -> bool:
        """Return whether the wall clock was stepped or slewed after this steady time."""
        return self._disturbed_until_ns is not None and self._disturbed_until_ns >= since_ns

    def sent_before(self, rows: NDArray[np.void], steady_ns: int, now_ns: int) -> Flags:
        """Flag the rows whose x is before a steady time."""
        disturbed = self.is_disturbed(now_ns - DISTURBED_FOR_NS)
        sent, limit = (self._departures(rows, now_ns), steady_ns) if disturbed else (rows["x"], self.wall_ns(steady_ns))
        before: Flags = sent < limit
        return before

    def slewed_ns(self, steady_ns: Int64s) -> Int64s | int:
        """Return by how much the wall clock had been slewed at each of these times, or at all of them."""
        if not self._slewed:
            return 0
        times, moved = zip(*self._slewed, strict=True)
        if times[-1] <= steady_ns.min():
            return int(moved[-1])
        slewed: Int64s = np.interp(steady_ns, times, moved).astype(np.int64)
        return slewed

    def place(self, rows: NDArray[np.void], now_ns: int) -> Flags:
        """Convert the times of rows to steady ns in place, and flag the rows across a step.

        Only the times a and x of an unanswered row count.
        """
        if self.is_disturbed(now_ns - DISTURBED_FOR_NS):
            departures = self._departures(rows, now_ns)
            if self.is_disturbed(int(departures.min())):
                return self._place_each(rows, departures)
        lead, at, rate = self._lead
        if lead or rate:
            leads = lead + ((rows["x"] - (at + lead)) * rate).astype(np.int64)
            for name in ("a", "x", "r", "y"):
                rows[name] -= leads
        return np.zeros(rows.size, np.bool_)

    def _place_each(self, rows: NDArray[np.void], departures: Int64s) -> Flags:
        by_wall = rows["y"] - rows["x"]
        elapsed = (rows["y_raw"].astype(np.int64) - rows["x_raw"]) % RAW_UNITS * RAW_UNIT_NS
        answered = rows["answered"] != 0
        across: Flags = answered & (np.abs(by_wall - elapsed) > elapsed * MAX_SLEW + 2 * RAW_UNIT_NS)
        waited = rows["x"] - rows["a"]
        for step in self._steps:
            inside = (departures >= step.after_ns) & (departures <= step.before_ns)
            across |= inside & (np.abs(waited) >= abs(step.size_ns) // 2)
        across |= waited < 0
        rate = np.where(answered & ~across & (by_wall > 0), elapsed / np.maximum(by_wall, 1), 1.0)
        returns = departures + np.rint((rows["r"] - rows["x"]) * rate).astype(np.int64)
        rows["y"] = departures + np.rint(by_wall * rate).astype(np.int64)
        rows["a"] = departures - np.rint(waited * rate).astype(np.int64)
        rows["x"], rows["r"] = departures, returns
        return across

    def _departures(self, rows: NDArray[np.void], now_ns: int) -> Int64s:
        """Return x of the rows by their readings of CLOCK_MONOTONIC_RAW."""
        now_units = (now_ns - self._raw_to_steady_ns) >> RAW_UNIT_BITS
        ages = (now_units - rows["x_raw"].astype(np.int64) + RAW_UNITS // 2) % RAW_UNITS - RAW_UNITS // 2
        departures: Int64s = (now_units - ages) * RAW_UNIT_NS + self._raw_to_steady_ns
        return departures

    def _accept(self, reading: ClockReading) -> None:
        self._last = reading
        steady = self.steady_ns(reading.raw_ns)
        lead = reading.wall_ns - steady
        self._calm.append((steady, lead))
        first, lead_before = self._calm[0]
        self._lead = lead, steady, (lead - lead_before) / (steady - first) if steady > first else 0.0

    def _count_step(self, step: _Step) -> None:
        self.steps += 1
        self._steps.append(step)

    def _continue_slew(self, moved: _Step) -> None:
        """Count a slew at its second interval: a single one is a small step."""
        if self._slewing:
            return
        if self._pending is None:
            self._pending = moved
        else:
            self._pending, self._slewing = None, True
            self.slews += 1

    def _extend_slewed(self, moved: _Step) -> None:
        before = self._slewed[-1][1] if self._slewed else 0
        self._slewed.append((moved.after_ns, before))
        self._slewed.append((moved.before_ns, before + moved.size_ns))

    def _end_event(self) -> None:
        if self._pending is not None:
            self._count_step(self._pending)
        self._pending, self._slewing = None, False

"""The windows that a relay judged while it was under load, each once. Pure.

A window covers the relay's last 60 s, so neighbours overlap. The relay judges it by the tier of the calls that are
active when it is asked: while a load falls, packets of many calls would be judged by the limits for few. Such a window
is kept and shown, and counts for no tier.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rtppool_core.contract.pools_file import SlaTier
from rtppool_core.contract.report import HistogramExport, Report, SlaResult, SlaViolation, import_histogram
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import microseconds_up

# What is above it, or below 0, no relay has counted.
MAX_FIGURE = (1 << 63) - 1
PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class LoadWindow:
    """A window's figures and the relay's verdict; None: not measured. `at_seconds` is since the load began.

    `mixed`: more calls than its tier is for were active in its time.
    """

    at_seconds: float
    end_unix_seconds: int
    active_calls: int
    result: SlaResult
    reason: str
    tier_up_to_calls: int | None
    above_tiers: bool
    violations: tuple[SlaViolation, ...]
    start_unix_seconds: int | None = None
    packets: int = 0
    lost: int = 0
    late_source: int = 0
    late_relay: int = 0
    late_echo: int = 0
    p50_microseconds: int | None = None
    p95_microseconds: int | None = None
    p99_microseconds: int | None = None
    max_microseconds: int | None = None
    residence_p99_microseconds: int | None = None
    mixed: bool = False

    def late_ppm(self, packets: int) -> int | None:
        """Late packets as a share of those sent to the echo, rounded up; None of nothing."""
        return -(-packets * PPM // self.packets) if self.packets else None


class LoadWindows:
    """Takes a relay's report at every poll."""

    def __init__(self, tiers: Sequence[SlaTier]) -> None:
        self._edges = sorted(tier.up_to_calls for tier in tiers)
        self._windows: list[LoadWindow] = []
        # (Unix second, active calls) of every poll: what a window's time has seen.
        self._active: list[tuple[int, int]] = []

    @property
    def all(self) -> Sequence[LoadWindow]:
        """In order."""
        return self._windows

    def add(self, report: Report, at_seconds: float, now_unix_seconds: int) -> LoadWindow | None:
        """The report's window, or None when it is the one before once more.

        Raises:
            SchemeError: a histogram that can't be.
            ImpossibleFigureError: another figure that can't be.
        """
        window = window_of(report, at_seconds, now_unix_seconds)
        self._active.append((now_unix_seconds, report.sla.active_calls))
        if self._windows and window.end_unix_seconds <= self._windows[-1].end_unix_seconds:
            return None
        window = self._marked(window)
        self._windows.append(window)
        return window

    def _marked(self, window: LoadWindow) -> LoadWindow:
        begins = window.end_unix_seconds if window.start_unix_seconds is None else window.start_unix_seconds
        most = window.active_calls
        for at, active in reversed(self._active):
            if at < begins:
                break
            most = max(most, active)
        if self._tier(most) == self._tier(window.active_calls):
            return window
        return replace(window, mixed=True)

    def _tier(self, calls: int) -> int:
        return next((number for number, edge in enumerate(self._edges) if calls <= edge), len(self._edges))


class ImpossibleFigureError(ValueError):
    """A relay told a figure that can't be."""


def possible(figures: Iterable[int | None], of: str) -> None:
    """Look at figures before anything is made of them.

    Raises:
        ImpossibleFigureError: one is negative or absurdly large.
    """
    for figure in figures:
        if figure is not None and not 0 <= figure <= MAX_FIGURE:
            raise ImpossibleFigureError(f"{of} has a figure of {str(figure)[:20]}; accepted is 0 to {MAX_FIGURE}")


def window_of(report: Report, at_seconds: float, now_unix_seconds: int) -> LoadWindow:
    """One report's window of calls; without packets of calls only the verdict.

    Raises:
        SchemeError: a histogram that can't be.
        ImpossibleFigureError: another figure that can't be.
    """
    sla, window = report.sla, report.windows.calls
    possible((sla.active_calls, sla.tier_up_to_calls), "the verdict")
    possible((figure for each in sla.violations for figure in (each.accepted, each.measured)), "the verdict")
    judged = LoadWindow(
        at_seconds=round(at_seconds, 1),
        end_unix_seconds=now_unix_seconds,
        active_calls=sla.active_calls,
        result=sla.result,
        reason=sla.reason,
        tier_up_to_calls=sla.tier_up_to_calls,
        above_tiers=sla.above_tiers,
        violations=sla.violations,
    )
    if window is None:
        return judged
    late = window.late
    possible((window.start_unix_seconds, window.end_unix_seconds, window.packets, window.lost), "the window")
    possible((late.source, late.relay, late.echo), "the window")
    round_trips = _histogram(window.round_trip)
    return replace(
        judged,
        start_unix_seconds=window.start_unix_seconds,
        end_unix_seconds=window.end_unix_seconds,
        packets=window.packets,
        lost=window.lost,
        late_source=late.source,
        late_relay=late.relay,
        late_echo=late.echo,
        p50_microseconds=quantile_us(round_trips, 500),
        p95_microseconds=quantile_us(round_trips, 950),
        p99_microseconds=quantile_us(round_trips, 990),
        max_microseconds=microseconds_up(round_trips.max_ns),
        residence_p99_microseconds=quantile_us(_histogram(window.residence), 990),
    )


def quantile_us(histogram: Histogram, per_mille: int) -> int | None:
    """A quantile in whole µs, rounded up as the relay does; None of nothing."""
    return microseconds_up(histogram.quantile_ns(per_mille))


def _histogram(export: HistogramExport | None) -> Histogram:
    if export is None:
        return Histogram()
    possible((export.min_ns, export.max_ns), "a histogram")
    return import_histogram(export)

"""The relay's windows during a load, each once.

A window covers the relay's last 60 s, so that neighbours overlap. The relay judges it by the tier of the calls that are
active at that moment. While a load falls, the limits for few calls would judge the packets of many. Such a window is
marked as mixed: it is kept, and counts for no tier.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rtppool_core.contract.pools_file import SlaTier
from rtppool_core.contract.report import HistogramExport, Report, SlaResult, SlaViolation, import_histogram
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import microseconds_up, parts_per_million

# No relay counts beyond it.
MAX_FIGURE = (1 << 63) - 1
# A report without packets ends now, and one with packets some seconds ago. An earlier end is a step of the clock.
MIN_STEP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class LoadWindow:
    """Figures and verdict of a window. None is not measured. `at_seconds` is the time since the load began.

    `mixed`: more calls than its tier covers were active during the window.
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
    late_host: int | None = None
    late_judged: int = 0
    p50_microseconds: int | None = None
    p95_microseconds: int | None = None
    p99_microseconds: int | None = None
    max_microseconds: int | None = None
    residence_p99_microseconds: int | None = None
    mixed: bool = False

    def late_ppm(self, packets: int) -> int | None:
        """Return late packets per million packets sent to the echo, rounded up; None without packets."""
        return parts_per_million(packets, self.packets)


class LoadWindows:
    """Collects windows from the relay's reports."""

    def __init__(self, tiers: Sequence[SlaTier]) -> None:
        self._edges = sorted(tier.up_to_calls for tier in tiers)
        self._windows: list[LoadWindow] = []
        # (Unix second, active calls) of every report: the calls that were active during a window.
        self._active: list[tuple[int, int]] = []

    @property
    def all(self) -> Sequence[LoadWindow]:
        """All windows in order."""
        return self._windows

    def add(self, report: Report, at_seconds: float, now_unix_seconds: int) -> LoadWindow | None:
        """Add and return the window of a report, or return None when it is the same as the last.

        Raises:
            SchemeError: a histogram is impossible.
            ImpossibleFigureError: another figure is impossible.
        """
        window = window_of(report, at_seconds, now_unix_seconds)
        self._active.append((now_unix_seconds, report.sla.active_calls))
        if self._windows and 0 <= self._windows[-1].end_unix_seconds - window.end_unix_seconds < MIN_STEP_SECONDS:
            return None
        window = self._marked(window)
        self._windows.append(window)
        return window

    def _marked(self, window: LoadWindow) -> LoadWindow:
        begins = window.end_unix_seconds if window.start_unix_seconds is None else window.start_unix_seconds
        max_calls = window.active_calls
        for at, active in reversed(self._active):
            if at < begins:
                break
            max_calls = max(max_calls, active)
        if self._tier(max_calls) == self._tier(window.active_calls):
            return window
        return replace(window, mixed=True)

    def _tier(self, calls: int) -> int:
        return next((number for number, edge in enumerate(self._edges) if calls <= edge), len(self._edges))


class ImpossibleFigureError(ValueError):
    """A relay reported an impossible figure."""


def check_possible(figures: Iterable[int | None], of: str) -> None:
    """Check figures before they are used.

    Raises:
        ImpossibleFigureError: one is negative or absurdly large.
    """
    for figure in figures:
        if figure is not None and not 0 <= figure <= MAX_FIGURE:
            raise ImpossibleFigureError(f"{of} has a figure of {str(figure)[:20]}; accepted is 0 to {MAX_FIGURE}")


def window_of(report: Report, at_seconds: float, now_unix_seconds: int) -> LoadWindow:
    """Return the window of calls in a report; without packets only its verdict.

    Raises:
        SchemeError: a histogram is impossible.
        ImpossibleFigureError: another figure is impossible.
    """
    sla, window = report.sla, report.windows.calls
    check_possible((sla.active_calls, sla.tier_up_to_calls), "the verdict")
    check_possible((figure for each in sla.violations for figure in (each.accepted, each.measured)), "the verdict")
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
    check_possible((window.start_unix_seconds, window.end_unix_seconds, window.packets, window.lost), "the window")
    check_possible((late.source, late.relay, late.echo, late.host, late.judged), "the window")
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
        late_host=late.host,
        late_judged=late.counted,
        p50_microseconds=quantile_us(round_trips, 500),
        p95_microseconds=quantile_us(round_trips, 950),
        p99_microseconds=quantile_us(round_trips, 990),
        max_microseconds=microseconds_up(round_trips.max_ns),
        residence_p99_microseconds=quantile_us(_histogram(window.residence), 990),
    )


def quantile_us(histogram: Histogram, per_mille: int) -> int | None:
    """Return a quantile in whole µs, rounded up as the relay does; None of an empty histogram."""
    return microseconds_up(histogram.quantile_ns(per_mille))


def _histogram(export: HistogramExport | None) -> Histogram:
    if export is None:
        return Histogram()
    check_possible((export.min_ns, export.max_ns), "a histogram")
    return import_histogram(export)

"""Host time by second, beside the late packets of the same seconds.

A second has host time when a witness shows more of it than an undisturbed machine has. Waits of a media process for its
processor are a few microseconds each, and more packets have more of them. So the run delay is compared with the usual
second of the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median_low

from rtppool_core.contract.report import EchoWitness, HostReport, WitnessReport
from rtppool_core.host.figures import WITNESSES, HostFigures, total
from rtppool_core.units import NS_PER_MS, NS_PER_SECOND
from rtppool_relay.streams.slices import SLICE_CLOSES_AFTER_SECONDS, Slice, SliceStore

MIN_STALLED_NS = NS_PER_MS
MIN_RUN_DELAY_ABOVE_USUAL_NS = 10 * NS_PER_MS
# The media process waits for a tenth of the time: such a second is never usual.
MAX_USUAL_RUN_DELAY_NS = 100 * NS_PER_MS

# Readings come once a second. A heartbeat starts when calls of a former relay are adopted, and again after its end.
MAX_START_READINGS = 10


class HostTime:
    """Host time of the window's seconds (Unix time of the measurement's clock), and its sum since the relay started.

    `absent` has the reason of each witness that can't be read; None: no witness was read yet.
    """

    def __init__(self, window_seconds: int = 60) -> None:
        self._keep_seconds = 0
        self.keep_window(window_seconds)
        self._by_second: dict[int, HostFigures] = {}
        self.total = HostFigures()
        self.absent: Mapping[str, str] | None = None
        self._absent_readings: dict[str, int] = {}

    def keep_window(self, seconds: int) -> None:
        """Keep the seconds of a window of this length from now on."""
        self._keep_seconds = seconds + SLICE_CLOSES_AFTER_SECONDS

    def add(self, second: int, figures: HostFigures, absent: Mapping[str, str]) -> None:
        """Add the host time of a second, or of a part of it."""
        self._by_second[second] = self._by_second.get(second, HostFigures()).plus(figures)
        self._by_second = {
            each: held for each, held in self._by_second.items() if abs(second - each) <= self._keep_seconds
        }
        self.total = self.total.plus(figures)
        self.absent = dict(absent)
        self._absent_readings = {name: self._absent_readings.get(name, 0) + 1 for name in absent}

    def missing(self) -> Mapping[str, str]:
        """Return the reason of each witness that has been absent for longer than the start of one takes."""
        absent = self.absent or {}
        return {name: absent[name] for name, readings in self._absent_readings.items() if readings > MAX_START_READINGS}

    def latest(self) -> HostFigures:
        """Return the sum of the latest seconds, as many as a window has."""
        return total(self._by_second.values())

    def latest_ns(self) -> int:
        """Return how much time `latest` covers."""
        return len(self._by_second) * NS_PER_SECOND

    def between(self, start: int, end: int) -> dict[int, HostFigures]:
        """Return the host time of the seconds from `start` up to, not including, `end`."""
        return {second: held for second, held in self._by_second.items() if start <= second < end}


def host_report(host: HostTime, calls: SliceStore, now_ns: int, window_seconds: int) -> HostReport | None:
    """Return the host time of the window of calls; None before a witness was read."""
    if host.absent is None:
        return None
    figures, start, end = calls.window(now_ns, window_seconds)
    by_second = host.between(start, end)
    added = total(by_second.values())
    return HostReport(
        window_seconds=window_seconds,
        cpu_seconds=None if added.capacity_ns is None else round(added.capacity_ns / NS_PER_SECOND, 1),
        stolen_milliseconds=_milliseconds(added.stolen_ns),
        run_delay_milliseconds=_milliseconds(added.run_delay_ns),
        throttled_milliseconds=_milliseconds(added.throttled_ns),
        throttled_periods=added.throttled_periods,
        pressure_milliseconds=_milliseconds(added.pressure_ns),
        heartbeat_late_milliseconds=_milliseconds(_stalled_ns(added)),
        late_packets=figures.late().here if figures.judged_late else None,
        late_in_host_seconds=late_in_host_seconds(calls.between(start, end), by_second)
        if figures.judged_late
        else None,
        echo=echo_witness(figures),
        witnesses=tuple(WitnessReport(name, name not in host.absent, host.absent.get(name)) for name in WITNESSES),
    )


def late_in_host_seconds(slices: Iterable[tuple[int, Slice]], by_second: Mapping[int, HostFigures]) -> int:
    """Count the packets late by relay, echo or host that were sent in seconds with host time.

    A packet with the cause `host` lies in a stall, whatever the second's sums are.
    """
    seconds = seconds_with_host_time(by_second)
    return sum(part.late().here if second in seconds else part.late_host for second, part in slices)


def seconds_with_host_time(by_second: Mapping[int, HostFigures]) -> set[int]:
    """Return the seconds in which a witness shows more than an undisturbed machine has."""
    delays = [held.run_delay_ns for held in by_second.values() if held.run_delay_ns is not None]
    usual_ns = median_low(delays) if delays else 0
    return {second for second, held in by_second.items() if _has_host_time(held, usual_ns)}


def echo_witness(figures: Slice) -> EchoWitness | None:
    """Return which witness covers the echo's processors; None without an answer."""
    if not figures.answered:
        return None
    if figures.echo_host_unreported:
        return "NotReported"
    return "Reported" if figures.echo_host_reported else "ThisMachine"


def _has_host_time(held: HostFigures, usual_delay_ns: int) -> bool:
    run_delay_ns = held.run_delay_ns or 0
    waited = run_delay_ns > min(usual_delay_ns + MIN_RUN_DELAY_ABOVE_USUAL_NS, MAX_USUAL_RUN_DELAY_NS)
    stalled = (_stalled_ns(held) or 0) >= MIN_STALLED_NS
    return waited or stalled or bool(held.stolen_ns) or bool(held.throttled_ns)


def _stalled_ns(figures: HostFigures) -> int | None:
    return None if figures.stalled_ns is None else sum(figures.stalled_ns.values())


def _milliseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else -(-nanoseconds // NS_PER_MS)

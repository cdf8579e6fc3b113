"""The figures that became known in each second, for a page that shows them while they happen.

A window of closed seconds is complete and lags. A live second has each packet in the second in which its fate became
known: an answered one within a second, a lost one some 3 s after it was sent.
A second without packets is kept as a gap, and no figure of it is 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtppool_relay.streams.columns import middles_of
from rtppool_relay.streams.slices import Slice, microseconds
from rtppool_relay.streams.statistics import StreamStatistics

HISTORY_SECONDS = 15 * 60
CALL_HISTORY_SECONDS = 120
MAX_CALLS = 1024
UNKNOWN_PLACE = -1
PERCENTILES_PER_MILLE = (50, 500, 950, 990)


class LiveSecond(msgspec.Struct, array_like=True, frozen=True):
    """One second of calls or of the probe. Durations are in µs. What was not measured is None.

    `late_host` is None where no witness watched. Jitter is the mean of RFC 3550's J: `jitter` at the echo's side, and
    `source_jitter` from Asterisk.
    """

    at_unix_seconds: int
    packets: int
    lost: int | None = None
    source_lost: int | None = None
    late_source: int | None = None
    late_relay: int | None = None
    late_echo: int | None = None
    late_host: int | None = None
    p5: int | None = None
    p50: int | None = None
    p95: int | None = None
    p99: int | None = None
    longest: int | None = None
    residence_p50: int | None = None
    residence_p99: int | None = None
    jitter: int | None = None
    source_jitter: int | None = None


class CallSecond(msgspec.Struct, array_like=True, frozen=True):
    """One second of a call: its packets, and the median and the longest round trip in µs."""

    at_unix_seconds: int
    packets: int
    lost: int
    late_source: int
    late_relay: int
    late_echo: int
    late_host: int | None
    p50: int | None
    longest: int | None


@dataclass(slots=True)
class LiveHistory:
    """The seconds of one kind of streams. Bounded: the oldest second makes room for the newest."""

    seconds: deque[LiveSecond] = field(default_factory=lambda: deque(maxlen=HISTORY_SECONDS))

    def add(self, at_unix_seconds: int, figures: Slice) -> None:
        """Add a second. Without a packet it is a gap."""
        self.seconds.append(live_second(at_unix_seconds, figures))


def live_second(at_unix_seconds: int, figures: Slice) -> LiveSecond:
    """Return the figures that became known in a second."""
    if not figures.packets:
        return LiveSecond(at_unix_seconds, 0)
    p5, p50, p95, p99 = (microseconds(figures.round_trip.quantile_ns(each)) for each in PERCENTILES_PER_MILLE)
    compared = bool(figures.judged_late)
    return LiveSecond(
        at_unix_seconds,
        figures.packets,
        figures.lost,
        figures.source_lost,
        figures.late_source if compared else None,
        figures.late_relay if compared else None,
        figures.late_echo if compared else None,
        figures.late_host if compared and figures.witnessed else None,
        *(p5, p50, p95, p99),
        microseconds(figures.round_trip.max_ns),
        microseconds(figures.residence.quantile_ns(500)),
        microseconds(figures.residence.quantile_ns(990)),
        figures.jitter_us(),
        figures.source_jitter_us(),
    )


# Of `CallTotals`: the counts of a call's second, and whether a witness watched.
_COUNTS = ("packets", "answered", "late_source", "late_relay", "late_echo", "late_host", "witnessed")


class _Second(NamedTuple):
    """One second of all live calls: the place of each port, its counts since its begin, and its round trips in ns.

    The number of a call's round trips may be 0, and their median and longest are not measured then.
    """

    at_unix_seconds: int
    places: dict[int, int]
    counts: NDArray[np.int64]
    round_trips: NDArray[np.int64]
    middles_ns: NDArray[np.int64]
    longest_ns: NDArray[np.int64]


class LiveCalls:
    """The last seconds of each live call, by its port. A call's second is made when it is read."""

    def __init__(self) -> None:
        # One more than are shown, because counts are compared with those of the second before.
        self._seconds: deque[_Second] = deque(maxlen=CALL_HISTORY_SECONDS + 1)
        self._number = 0
        # The stream of each port, and the number of its first second.
        self._begun: dict[int, tuple[StreamStatistics, int]] = {}

    def add(self, at_unix_seconds: int, streams: Iterable[tuple[int, StreamStatistics]]) -> None:
        """Add a second of the live calls, and forget those that have ended."""
        live = list(islice(streams, MAX_CALLS))
        begun = {}
        for port, stream in live:
            before = self._begun.get(port)
            begun[port] = before if before is not None and before[0] is stream else (stream, self._number)
        self._begun = begun
        self._number += 1
        places = {port: place for place, (port, _) in enumerate(live)}
        if self._seconds and self._seconds[-1].places == places:
            # Kept once, while no call begins or ends.
            places = self._seconds[-1].places
        self._seconds.append(_Second(at_unix_seconds, places, *_columns_of([stream for _, stream in live])))

    def seconds(self, port: int) -> Iterator[CallSecond]:
        """Yield the last seconds of the call on this port, oldest first."""
        begun = self._begun.get(port)
        if begun is None:
            return
        number = min(self._number - begun[1], len(self._seconds))
        kept = list(self._seconds)[len(self._seconds) - number :]
        if number > CALL_HISTORY_SECONDS:
            yield from (_call_second(port, second, before) for before, second in pairwise(kept))
        elif kept:
            yield _call_second(port, kept[0], None)
            yield from (_call_second(port, second, before) for before, second in pairwise(kept))

    def latest(self, port: int) -> CallSecond | None:
        """Return the last second of the call on this port; None before its first one."""
        begun = self._begun.get(port)
        if begun is None:
            return None
        before = self._seconds[-2] if self._number - begun[1] > 1 else None
        return _call_second(port, self._seconds[-1], before)


def _columns_of(
    streams: list[StreamStatistics],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the counts of streams of one memory, and number, median and longest of their latest round trips."""
    numbers, middles, longest = np.zeros((3, len(streams)), np.int64)
    if not streams:
        return np.zeros((0, len(_COUNTS)), np.int64), numbers, middles, longest
    totals = streams[0].reader.rings.totals
    slots = np.array([stream.reader.slot for stream in streams])
    of, values_ns = totals.take_latest()
    place_of = np.full(max(int(slots.max()), int(of.max(initial=0))) + 1, UNKNOWN_PLACE)
    place_of[slots] = np.arange(slots.size)
    places = place_of[of]
    order = np.argsort(places, kind="stable")
    order = order[np.count_nonzero(places == UNKNOWN_PLACE) :]
    numbers = np.bincount(places[order], minlength=slots.size)
    measured = numbers > 0
    if measured.any():
        middles[measured], longest[measured] = middles_of(values_ns[order], numbers[measured])
    return totals.counts(slots, _COUNTS), numbers, middles, longest


def _call_second(port: int, second: _Second, before: _Second | None) -> CallSecond:
    place = second.places[port]
    counts = second.counts[place]
    grown = counts if before is None else counts - before.counts[before.places[port]]
    packets, answered, source, relay, echo, host, _ = grown.tolist()
    measured = bool(second.round_trips[place])
    return CallSecond(
        *(second.at_unix_seconds, packets, packets - answered, source, relay, echo),
        host if counts[-1] else None,
        microseconds(int(second.middles_ns[place])) if measured else None,
        microseconds(int(second.longest_ns[place])) if measured else None,
    )

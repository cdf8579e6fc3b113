"""The figures that became known in each second, for a page that shows them while they happen.

A window of closed seconds is complete and lags. A live second has each packet in the second in which its fate became
known: an answered one within a second, a lost one some 3 s after it was sent.
A second without packets is kept as a gap, and no figure of it is 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from rtppool_relay.streams.columns import middles_of
from rtppool_relay.streams.slices import Slice, microseconds
from rtppool_relay.streams.statistics import StreamStatistics

HISTORY_SECONDS = 15 * 60
CALL_HISTORY_SECONDS = 120
MAX_CALLS = 1024
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


@dataclass(slots=True)
class _Track:
    """The last seconds of one call, and its counts at the last of them."""

    stream: StreamStatistics
    seconds: deque[CallSecond] = field(default_factory=lambda: deque(maxlen=CALL_HISTORY_SECONDS))
    counted: tuple[int, ...] = (0, 0, 0, 0, 0, 0)


class LiveCalls:
    """The last seconds of each live call, by its port."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}

    def add(self, at_unix_seconds: int, streams: Iterable[tuple[int, StreamStatistics]]) -> None:
        """Add a second of the live calls, and forget those that have ended."""
        tracks: dict[int, _Track] = {}
        for port, stream in streams:
            if len(tracks) >= MAX_CALLS:
                break
            track = self._tracks.get(port)
            if track is None or track.stream is not stream:
                track = _Track(stream)
            tracks[port] = track
        self._tracks = tracks
        for track, (middle, longest) in zip(tracks.values(), _round_trips(tracks.values()), strict=True):
            track.seconds.append(_call_second(at_unix_seconds, track, middle, longest))

    def seconds(self, port: int) -> Iterator[CallSecond]:
        """Yield the last seconds of the call on this port, oldest first."""
        track = self._tracks.get(port)
        if track is not None:
            yield from track.seconds

    def latest(self, port: int) -> CallSecond | None:
        """Return the last second of the call on this port; None before its first one."""
        track = self._tracks.get(port)
        return track.seconds[-1] if track is not None and track.seconds else None


def _round_trips(tracks: Collection[_Track]) -> list[tuple[int | None, int | None]]:
    """Return the median and the longest of each call's latest round trips, in µs; None without one."""
    latest = [track.stream.take_latest_round_trips() for track in tracks]
    counts = np.array([sum(values.size for values in arrays) for arrays in latest], np.int64)
    if not counts.any():
        return [(None, None)] * len(latest)
    values_ns = np.concatenate([values for arrays in latest for values in arrays])
    middles, longest = middles_of(values_ns, counts[counts > 0])
    measured = zip(middles.tolist(), longest.tolist(), strict=True)
    found: list[tuple[int | None, int | None]] = []
    for count in counts.tolist():
        middle_ns, longest_ns = next(measured) if count else (None, None)
        found.append((microseconds(middle_ns), microseconds(longest_ns)))
    return found


def _call_second(at_unix_seconds: int, track: _Track, middle: int | None, longest: int | None) -> CallSecond:
    added = track.stream.added
    counted = (
        *(added.packets, added.lost, added.late_source, added.late_relay, added.late_echo),
        added.late_host,
    )
    packets, lost, source, relay, echo, host = (
        now - before for now, before in zip(counted, track.counted, strict=True)
    )
    track.counted = counted
    return CallSecond(
        *(at_unix_seconds, packets, lost, source, relay, echo),
        host if added.witnessed else None,
        *(middle, longest),
    )

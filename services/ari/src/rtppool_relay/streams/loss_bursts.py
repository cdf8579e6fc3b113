"""Bursts and gaps over rows: losses return to the order of their sequence before they are counted.

A packet is bad when it never came from Asterisk, or when its answer did not come within 2 s: a listener behind the echo
misses both. A late packet that a de-jitter buffer can still use is not bad. Answered rows are read at once and lost
ones 2.5 s later, so a loss waits until the fate of every earlier packet is known. Good packets cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rtppool_core.statistics.bursts import BurstCounts, BurstTracker
from rtppool_relay.streams.row_reader import SETTLED_AFTER_NS
from rtppool_relay.streams.source_loss import FILLED_WITHIN_NS

# The last losses of a stream that was replaced are known after this.
SETTLED_AFTER_CHANGE_NS = SETTLED_AFTER_NS + FILLED_WITHIN_NS
# RFC 3551 section 4.2. It holds until two packets have shown how much media a packet carries.
USUAL_PACKET_NS = 20_000_000

# First and last index, and the Unix second in which the run is counted.
LostRun = tuple[int, int, int]
# Far more than a stream's packets skip, and less than the distance between the indexes of two streams.
MAX_AHEAD = 1 << 15
BySecond = list[tuple[int, BurstCounts]]


@dataclass(slots=True)
class _Stream:
    tracker: BurstTracker
    first: int
    highest: int
    last_lost: int = -1
    pending: list[LostRun] = field(default_factory=list)
    # When a replaced stream counts as ended, in ns; None for the live stream.
    ends_ns: int | None = None

    def release(self, frontier: int) -> BySecond:
        """Count the losses below the frontier."""
        if not self.pending:
            return []
        self.pending.sort()
        counted: BySecond = []
        kept: list[LostRun] = []
        for first, last, second in self.pending:
            if last >= frontier:
                kept.append((first, last, second))
            elif first <= self.last_lost:
                # Its neighbours are counted already: a row was overwritten unread.
                counted.append((second, BurstCounts(lost=last - first + 1)))
            else:
                counted.append((second, self.tracker.lost(first, last)))
                self.last_lost = last
        self.pending = kept
        return counted

    def end(self, second: int) -> BySecond:
        counted = self.release(self.highest + 1)
        counted.append((second, self.tracker.end(self.highest)))
        return counted


@dataclass(slots=True)
class LossBursts:
    """The losses of one slot, stream after stream. A new SSRC or a jump ends a stream."""

    _live: _Stream | None = None
    _ending: list[_Stream] = field(default_factory=list)
    # Losses of streams that were never begun.
    _others: BySecond = field(default_factory=list)

    @property
    def are_open(self) -> bool:
        """Whether losses wait for their order, or a stream for its end."""
        return bool(self._others or self._ending or (self._live is not None and self._live.pending))

    def begin(self, first: int, now_ns: int) -> None:
        """Begin a stream whose first packet is `first`. The old one ends when its last losses are known."""
        if self._live is not None:
            self._live.ends_ns = now_ns + SETTLED_AFTER_CHANGE_NS
            self._ending.append(self._live)
        self._live = _Stream(BurstTracker(first, USUAL_PACKET_NS), first, first - 1)

    def set_packet_time(self, first: int, packet_ns: int) -> None:
        """Set how much media each packet of the live stream carries, from its packet `first` on."""
        if self._live is not None:
            self._live.tracker.change_packet_time(first, packet_ns)

    def reach(self, highest: int) -> None:
        """Raise the highest index of the live stream."""
        if self._live is not None and highest > self._live.highest:
            self._live.highest = highest

    def lose(self, runs: Iterable[LostRun]) -> None:
        """Add losses in any order."""
        for run in runs:
            stream = self._stream_of(run[0])
            if stream is None:
                first, last, second = run
                self._others.append((second, BurstCounts(lost=last - first + 1)))
            else:
                stream.pending.append(run)
                stream.highest = max(stream.highest, run[1])

    def release(self, frontier: int, now_ns: int, second: int) -> BySecond:
        """Count the losses of the live stream below `frontier`, and all of ended streams."""
        counted, self._others = self._others, []
        if self._live is not None:
            counted += self._live.release(frontier)
        for stream in [each for each in self._ending if each.ends_ns is not None and each.ends_ns <= now_ns]:
            self._ending.remove(stream)
            counted.extend(stream.end(second))
        return counted

    def finish(self, second: int) -> BySecond:
        """Count all remaining losses and the open gaps: the call is over."""
        streams = [*self._ending, *([self._live] if self._live is not None else [])]
        others, self._ending, self._live, self._others = self._others, [], None, []
        return others + [each for stream in streams for each in stream.end(second)]

    def _stream_of(self, index: int) -> _Stream | None:
        """Return the stream with the nearest first index: a source may return to an earlier epoch."""
        streams = (*self._ending, *([self._live] if self._live is not None else []))
        stream = max((each for each in streams if index >= each.first), key=lambda each: each.first, default=None)
        return stream if stream is not None and index <= stream.highest + MAX_AHEAD else None

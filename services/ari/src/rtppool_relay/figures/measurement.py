"""All live streams' statistics, collected every second: windows by kind of stream, counters, the echo's health."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtppool_core.contract.figures import TIMES
from rtppool_core.contract.report import DepartureErrorReport
from rtppool_relay.figures.admission import AdmissionControl
from rtppool_relay.figures.durations import DurationCounts, durations_of
from rtppool_relay.figures.echo_health import EchoHealth
from rtppool_relay.figures.host_time import HostTime
from rtppool_relay.media.clock_readings import ClockReading
from rtppool_relay.media.rows import DROP_REASONS, Word
from rtppool_relay.streams.row_reader import departure_errors
from rtppool_relay.streams.slices import Slice, SliceStore
from rtppool_relay.streams.stalls import NO_STALLS, StallSource
from rtppool_relay.streams.statistics import Collected, StreamStatistics, collect_groups
from rtppool_relay.streams.steady_clock import SteadyClock

StreamKind = Literal["calls", "probe"]
KINDS: tuple[StreamKind, ...] = ("calls", "probe")
# Answers that are not used still show that the echo is reachable.
UNUSED_ANSWERS = (Word.UNMATCHED, Word.DUPLICATE_ECHO, Word.TOO_LATE)
# Streams that are collected at once. On two processors under load, packets wait for the computation of hundreds.
MAX_TOGETHER = 150
# Ten calls give this many in a minute.
MAX_DEPARTURE_ERRORS = 1024


@dataclass(slots=True)
class KindFigures:
    """Figures of one kind of stream since the relay started."""

    store: SliceStore = field(default_factory=SliceStore)
    durations: dict[str, DurationCounts] = field(
        default_factory=lambda: {name: durations_of(name) for name, times in TIMES.items() if times.metric}
    )
    counted: Counter[Word] = field(default_factory=Counter)
    _latest: Slice = field(default_factory=Slice)

    def add(self, collected: Collected) -> None:
        """Add the figures of one collection."""
        for second, part in collected.by_second.items():
            self.store.add(second, part)
            self._latest.add(part)
        self.counted.update(collected.counted)
        for name, values_ns in collected.times:
            self.durations[name].observe(values_ns)

    def take_latest(self) -> Slice:
        """Return the figures that became known since the last call."""
        taken, self._latest = self._latest, Slice()
        return taken


@dataclass(slots=True)
class DepartureErrors:
    """How much later than our own reading the kernel stamped the latest departures, in ns.

    Calls and probe share the code and the clock, so they share the figures.
    """

    _latest: deque[int] = field(default_factory=lambda: deque(maxlen=MAX_DEPARTURE_ERRORS))
    _report: DepartureErrorReport | None = None

    def add(self, errors_ns: NDArray[np.int64]) -> None:
        """Add the errors of some streams."""
        if errors_ns.size:
            self._latest.extend(errors_ns.tolist())
            self._report = None

    def report(self) -> DepartureErrorReport | None:
        """Return nearest-rank quantiles; None before the first stamp."""
        if self._report is None and self._latest:
            ordered = sorted(self._latest)
            count = len(ordered)
            self._report = DepartureErrorReport(
                samples=count,
                p50_ns=ordered[-(-count // 2) - 1],
                p99_ns=ordered[-(-99 * count // 100) - 1],
                max_ns=ordered[-1],
            )
        return self._report


class Flaws(NamedTuple):
    """What could not be measured since the relay started.

    `samples_dropped` were made worthless by a step of the clock, `row_overruns` are rows that were overwritten before
    they were read, and `streams_unjudged` replaced each other too fast to be compared.
    """

    samples_dropped: int = 0
    row_overruns: int = 0
    streams_unjudged: int = 0

    def plus(self, streams: Iterable[StreamStatistics]) -> Flaws:
        """Add those of streams."""
        samples_dropped, row_overruns, streams_unjudged = self
        for stream in streams:
            samples_dropped += stream.samples_dropped
            row_overruns += stream.reader.overruns
            streams_unjudged += stream.streams_unjudged
        return Flaws(samples_dropped, row_overruns, streams_unjudged)


class Measurement:
    """The streams by slot, and their sums. Times are in ns of `clock`, unless they are called monotonic.

    `stalls` returns the stalls of processors that are known by now, in ns of `clock`.
    """

    def __init__(self, clock: SteadyClock, stalls: Callable[[], StallSource] = lambda: NO_STALLS) -> None:
        self.clock = clock
        self._stalls = stalls
        self.kinds: dict[StreamKind, KindFigures] = {kind: KindFigures() for kind in KINDS}
        self.echo = EchoHealth()
        self.admission = AdmissionControl()
        self.departures = DepartureErrors()
        self.host = HostTime()
        self._streams: dict[int, tuple[StreamKind, StreamStatistics]] = {}
        # When each slot was collected, and when any was.
        self._collected_ns: dict[int, int] = {}
        self._latest_ns = 0
        self._flaws_before = Flaws()
        # Until the next collection; None: not added up yet.
        self._flaws: Flaws | None = None
        self._since_judgement: Counter[Word] = Counter()
        self._answered_since_judgement = 0

    @property
    def flaws(self) -> Flaws:
        """What could not be measured since the relay started."""
        if self._flaws is None:
            self._flaws = self._flaws_before.plus(statistics for _, statistics in self._streams.values())
        return self._flaws

    def dropped(self) -> dict[str, int]:
        """Return the datagrams dropped since start by reason, calls and probe together."""
        counted = self.kinds["calls"].counted + self.kinds["probe"].counted
        return {reason: counted.get(word, 0) for reason, word in DROP_REASONS.items()}

    def keep_window(self, seconds: int) -> None:
        """Keep the slices of windows of this many seconds."""
        for figures in self.kinds.values():
            figures.store.keep_window(seconds)
        self.host.keep_window(seconds)

    def add_stream(self, slot: int, kind: StreamKind, statistics: StreamStatistics) -> None:
        """Collect this slot from the next collection on."""
        statistics.group = KINDS.index(kind)
        self._streams[slot] = (kind, statistics)

    def end_stream(self, slot: int, now_ns: int) -> None:
        """Add the slot's last figures."""
        kind, statistics = self._streams.pop(slot)
        self._collected_ns.pop(slot, None)
        self._take(kind, statistics.finish(now_ns, self._stalls()))
        self._flaws_before = self._flaws_before.plus([statistics])
        self._flaws = None

    def compare_clocks(self, reading: ClockReading) -> int:
        """Notice a step or a slew of the wall clock, and return the steady time; call it ten times a second."""
        self.clock.compare(reading)
        return self.clock.steady_ns(reading.raw_ns)

    def portions(self) -> Iterator[list[int]]:
        """Yield the slots of all streams in portions of the same size, up to `MAX_TOGETHER`, for `collect_portion`."""
        slots = list(self._streams)
        number = -(-len(slots) // MAX_TOGETHER)
        for at in range(number):
            yield slots[at * len(slots) // number : (at + 1) * len(slots) // number]

    def collect_portion(self, slots: Iterable[int], now_ns: int) -> None:
        """Collect those of these slots that still have a stream. `judge_echo` follows the last portion."""
        self._collect([slot for slot in slots if slot in self._streams], now_ns)

    def judge_echo(self, monotonic_ns: int) -> None:
        """Judge the echo by what was collected since the last call."""
        counted, self._since_judgement = self._since_judgement, Counter()
        came_back = self._answered_since_judgement + sum(counted[word] for word in UNUSED_ANSWERS)
        self._answered_since_judgement = 0
        self.echo.update(counted[Word.SENT_TO_ECHO], came_back, monotonic_ns)

    def collect_probe(self, now_ns: int, monotonic_ns: int) -> None:
        """Collect the probe alone, so that an echo that is gone is noticed soon; call it some times a second.

        While the echo answers all packets, the next collection of all is soon enough.
        """
        probes = {slot: statistics.reader for slot, (kind, statistics) in self._streams.items() if kind == "probe"}
        if not self.echo.reachable or any(reader.awaits_answers() for reader in probes.values()):
            self._collect(list(probes), now_ns)
        self.judge_echo(monotonic_ns)

    def _collect(self, slots: Sequence[int], now_ns: int) -> None:
        """Collect the streams of slots together: a batch of a few rows costs as much as one of a hundred streams."""
        before, self._latest_ns = self._latest_ns, now_ns
        if not slots:
            return
        streams = [self._streams[slot][1] for slot in slots]
        for group, collected in collect_groups(streams, now_ns, stalls=self._stalls()).items():
            self._take(KINDS[group], collected)
        self._flaws = None
        # A stamp less a reading is no error of ours where the wall clock moved between them.
        moved = self.clock.is_disturbed(min(self._collected_ns.get(slot, before) for slot in slots))
        self._collected_ns.update(dict.fromkeys(slots, now_ns))
        errors = departure_errors([statistics.reader for statistics in streams])
        if not moved:
            self.departures.add(errors)

    def _take(self, kind: StreamKind, collected: Collected) -> None:
        self.kinds[kind].add(collected)
        if kind == "calls":
            for second, part in collected.by_second.items():
                self.admission.add(second, part.packets, part.late_relay, part.round_trip, part.residence)
        self._since_judgement.update(collected.counted)
        self._answered_since_judgement += sum(part.answered for part in collected.by_second.values())

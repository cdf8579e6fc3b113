"""The record of a call, for `/calls` and for the log line at its end, and the counters of all calls."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import msgspec

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.report import DurationsReport
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import NS_PER_US
from rtppool_relay.calls.sound import SoundState
from rtppool_relay.calls.table import CUTS, CallEvent, CallState
from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.streams.slices import microseconds

# From an echo on the same node to the limit of a call's set-up. 5 ms and 40 ms are promises.
EDGES_MICROSECONDS = (
    *(500, 1_000, 2_000, 3_000, 5_000, 8_000, 10_000, 15_000, 20_000, 30_000, 40_000, 50_000),
    *(75_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000),
)


class CallRecord(msgspec.Struct, rename="camel"):
    """One call, filled in by its runner. Times are Unix times. Unknown values are None.

    Attributes:
        adopted: found in Asterisk, where an earlier relay set it up.
        shared: a third channel was in the bridge, so the figures include Asterisk's 20 ms of mixing.
        caller_number: in the form that `CallerNumbers` shows.
        asterisk: host and port of Asterisk's side of the RTP stream.
        media_reason: the likely reason for silent media, as a sentence.
        setup_milliseconds: from StasisStart until both channels are in the bridge.
        first_return_microseconds: from the first answered packet of Asterisk to its return.
        gap_milliseconds: from the departure of the earlier relay to the first packet here.
        ended_by: the event that began the end.
        refused: the reason of a refusal; `refusal` is the same as a sentence.
        refusal_milliseconds: from StasisStart until the caller was back in the dialplan.
    """

    call: str
    channel_id: str
    state: CallState
    started_unix_ms: int
    adopted: bool = False
    shared: bool = False
    caller_number: str | None = None
    sip_call_id: str | None = None
    port: int | None = None
    asterisk: str | None = None
    setup_milliseconds: int | None = None
    first_return_microseconds: int | None = None
    gap_milliseconds: int | None = None
    media: SoundState | None = None
    media_reason: str | None = None
    ended_unix_ms: int | None = None
    ended_by: CallEvent | None = None
    refused: str | None = None
    refusal: str | None = None
    refusal_milliseconds: int | None = None
    figures: CallFigures | None = None


class CallDurations:
    """One duration a call: quantiles and cumulative buckets since the relay started."""

    def __init__(self) -> None:
        self._values = Histogram()
        self._counts = [0] * (len(EDGES_MICROSECONDS) + 1)
        self._sum_ns = 0
        self._report: DurationsReport | None = None

    def add(self, duration_ns: int) -> None:
        """Count a duration. A value on an edge belongs to the bucket below it."""
        self._values.record(duration_ns)
        self._counts[bisect_left(EDGES_MICROSECONDS, duration_ns / NS_PER_US)] += 1
        self._sum_ns += duration_ns
        self._report = None

    def report(self) -> DurationsReport | None:
        """Return the report, or None before the first duration."""
        if self._report is None:
            self._report = self._make_report()
        return self._report

    def _make_report(self) -> DurationsReport | None:
        p50, p95, p99, longest = (
            microseconds(value)
            for value in (*(self._values.quantile_ns(per_mille) for per_mille in (500, 950, 990)), self._values.max_ns)
        )
        if p50 is None or p95 is None or p99 is None or longest is None:
            return None
        cumulative = tuple(accumulate(self._counts))
        return DurationsReport(
            samples=cumulative[-1],
            sum_microseconds=self._sum_ns // NS_PER_US,
            p50_microseconds=p50,
            p95_microseconds=p95,
            p99_microseconds=p99,
            max_microseconds=longest,
            buckets=tuple(zip(EDGES_MICROSECONDS, cumulative[:-1], strict=True)),
        )


@dataclass(slots=True)
class CallCounters:
    """Counts since the relay started. `refused` is by reason, `ended_by` by the event that ended the call.

    A call that has ended is in exactly one of `refused`, `left_before_answer` and `ended_by`.
    """

    arrived: int = 0
    accepted: int = 0
    adopted: int = 0
    handed_over: int = 0
    left_before_answer: int = 0
    cut: int = 0
    went_silent: int = 0
    went_one_way: int = 0
    orphans_deleted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    ended_by: dict[str, int] = field(default_factory=dict)
    setup: CallDurations = field(default_factory=CallDurations)
    first_return: CallDurations = field(default_factory=CallDurations)
    refusal: CallDurations = field(default_factory=CallDurations)
    gap: CallDurations = field(default_factory=CallDurations)

    @property
    def ended(self) -> int:
        """Calls that were neither refused nor left by their caller before the answer."""
        return sum(self.ended_by.values())

    def count_refusal(self, reason: str) -> None:
        """Count a call that went back to the dialplan unanswered."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def count_end(self, by: CallEvent, *, answered: bool) -> None:
        """Count the end of a call that was not refused."""
        if by is CallEvent.CALLER_GONE and not answered:
            self.left_before_answer += 1
            return
        self.ended_by[by.value] = self.ended_by.get(by.value, 0) + 1
        self.cut += by in CUTS


def log_fields(record: CallRecord) -> dict[str, Any]:
    """Return the record as flat fields of one log line."""
    document = to_json(record)
    figures = document.pop("figures", None) or {}
    for name, value in figures.items():
        if isinstance(value, dict):
            document.update({f"{name}{inner[0].upper()}{inner[1:]}": count for inner, count in value.items()})
        elif value != []:
            document[name] = value
    return dict(document)

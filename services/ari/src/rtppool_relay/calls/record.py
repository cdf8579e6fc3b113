"""What is written down of a call: while it lives for `/calls`, at its end for the log and the recent ones. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rtppool_core.contract.codec import to_json
from rtppool_relay.calls.durations import CallDurations
from rtppool_relay.calls.table import CUTS, Event
from rtppool_relay.figures.call_figures import CallFigures

SHOWN_DIGITS = 2


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. Times are Unix times; what is not known (yet) is absent.

    `setup_milliseconds` runs from its StasisStart to both channels in the bridge, `first_return_microseconds` from the
    first answered packet of Asterisk to its return. `shared`: a third channel was in the bridge, so that Asterisk mixed
    and its 20 ms are in the figures. `media` is a `MediaState`: whether packets flow. `ended_by` is the event that
    ended it. `refused` is the reason as a word, `refusal` as a sentence; `refusal_milliseconds` runs from its
    StasisStart until it was back in the dialplan. `gap_milliseconds` is from when the relay before left an adopted call
    to the first packet that came here; absent where that relay left no word.
    """

    call: str
    channel_id: str
    state: str
    started_unix_ms: int
    adopted: bool
    shared: bool
    caller_number: str | None = None
    sip_call_id: str | None = None
    port: int | None = None
    asterisk: str | None = None
    setup_milliseconds: int | None = None
    first_return_microseconds: int | None = None
    gap_milliseconds: int | None = None
    media: str | None = None
    ended_unix_ms: int | None = None
    ended_by: str | None = None
    refused: str | None = None
    refusal: str | None = None
    refusal_milliseconds: int | None = None
    figures: CallFigures | None = None


@dataclass(slots=True)
class CallCounters:
    """Since the relay started; they only grow. `refused` is by reason, `ended_by` by the event that ended the call.

    Every call that arrived is, at its end, refused, or left before it was answered, or ended.
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
        """Calls that were neither refused nor given up by their caller before the answer."""
        return sum(self.ended_by.values())

    def refuse(self, reason: str) -> None:
        """Count a call that went back to the dialplan unanswered."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def end(self, by: Event, *, answered: bool) -> None:
        """Count the end of a call that was not refused."""
        if by is Event.CALLER_GONE and not answered:
            self.left_before_answer += 1
            return
        self.ended_by[by.value] = self.ended_by.get(by.value, 0) + 1
        self.cut += by in CUTS


def masked(number: str) -> str | None:
    """A caller's number with all but its last digits hidden; None where there is none."""
    if not number:
        return None
    if len(number) <= SHOWN_DIGITS * 2:
        return "*" * len(number)
    return "*" * (len(number) - SHOWN_DIGITS) + number[-SHOWN_DIGITS:]


def log_fields(record: CallRecord) -> dict[str, Any]:
    """A record as flat fields of one log line; figures without their nesting."""
    document = to_json(record)
    figures = document.pop("figures", None) or {}
    for name, value in figures.items():
        if isinstance(value, dict):
            document.update({f"{name}{inner[0].upper()}{inner[1:]}": count for inner, count in value.items()})
        elif value != []:
            document[name] = value
    return dict(document)

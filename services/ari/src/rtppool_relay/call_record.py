"""What is written down of a call: while it lives for `/calls`, at its end for the log and the recent ones. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from rtppool_core.contract import to_json
from rtppool_relay.media_plane import CallFigures

SHOWN_DIGITS = 2


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. Times are Unix times; what is not known (yet) is absent.

    `setup_milliseconds` runs from its StasisStart to both channels in the bridge. `shared`: a third channel was in
    the bridge, so that Asterisk mixed and its 20 ms are in the figures. `ended_by` is the event that ended it.
    `refused` is the reason as a word, `refusal` as a sentence.
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
    ended_unix_ms: int | None = None
    ended_by: str | None = None
    refused: str | None = None
    refusal: str | None = None
    figures: CallFigures | None = None


@dataclass(slots=True)
class CallCounters:
    """Since the relay started; they only grow. `refused` is by reason."""

    accepted: int = 0
    ended: int = 0
    cut: int = 0
    adopted: int = 0
    orphans_deleted: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        """Count a refusal."""
        self.refused[reason] = self.refused.get(reason, 0) + 1


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


def field_names() -> frozenset[str]:
    """The record's fields, for those who document them."""
    return frozenset(each.name for each in fields(CallRecord))

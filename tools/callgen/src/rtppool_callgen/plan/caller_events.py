"""What callers tell of their calls, and the lines of JSON that carry it from their process to whoever counts. Pure."""

from __future__ import annotations

import json
from typing import Literal

from rtppool_core.contract.codec import Contract, ContractError, from_json, to_json
from rtppool_core.contract.report import HistogramExport

Outcome = Literal["completed", "refused", "failed", "interrupted"]
HungUp = Literal["asPlanned", "interrupted"]


class Placed(Contract, frozen=True):
    """A caller arrived."""

    channel: str


class NotPlaced(Contract, frozen=True):
    """A caller did not even arrive. `reason` is a word or a sentence."""

    reason: str


class Ended(Contract, frozen=True):
    """A call ended. What its caller could not know (an Asterisk's caller counts no packets) is None."""

    channel: str
    outcome: Outcome
    reason: str | None = None
    sent: int | None = None
    returned: int | None = None
    round_trips: HistogramExport | None = None


class Over(Contract, frozen=True):
    """All have called. What a relay left in Asterisk two seconds after the last call; None: nobody could look."""

    channels_left: int | None = None
    bridges_left: int | None = None


CallerEvent = Placed | NotPlaced | Ended | Over
_KINDS: dict[str, type[CallerEvent]] = {kind.__name__: kind for kind in (Placed, NotPlaced, Ended, Over)}


def outcome(
    *, answered: bool, refused: str | None, given_back: str | None, hung_up: HungUp | None
) -> tuple[Outcome, str | None]:
    """How a call ended, and why when it did not end as planned.

    Args:
        answered: its relay took it.
        refused: `RTP_RELAY_REFUSED`.
        given_back: `RTP_RELAY_ENDED`, of an answered caller who is in the dialplan again.
        hung_up: the caller did; None when somebody else ended the call.
    """
    if refused is not None:
        return "refused", refused
    if hung_up == "interrupted":
        return "interrupted", None
    if hung_up == "asPlanned":
        return ("completed", None) if answered else ("failed", "NotAnswered")
    return "failed", given_back or "EndedEarly"


def to_line(event: CallerEvent) -> str:
    """One line, with its end."""
    return json.dumps({"event": type(event).__name__, **to_json(event)}, separators=(",", ":")) + "\n"


def from_line(line: str) -> CallerEvent:
    """Back to the event.

    Raises:
        ContractError: not such a line.
    """
    try:
        document = json.loads(line)
    except ValueError as error:
        raise ContractError(f"{line[:60]!r} is not JSON: {error}") from error
    kind = _KINDS.get(document.get("event", "")) if isinstance(document, dict) else None
    if kind is None:
        raise ContractError(f"{line[:60]!r}: event; accepted is one of {', '.join(_KINDS)}")
    return from_json(kind, document)

"""Events of callers, and the JSON lines that carry them from the callers' process to the load test."""

from __future__ import annotations

import json
from typing import Literal

from rtppool_core.contract.codec import Contract, ContractError, from_json, to_json
from rtppool_core.contract.report import HistogramExport

Outcome = Literal["completed", "refused", "failed", "interrupted"]
HungUp = Literal["asPlanned", "interrupted"]


class Placed(Contract, frozen=True):
    """A call was placed."""

    channel: str


class NotPlaced(Contract, frozen=True):
    """A call could not be placed. `reason` is a word or a sentence."""

    reason: str


class Ended(Contract, frozen=True):
    """A call ended. Figures that the caller does not measure are None: a caller in Asterisk counts no packets."""

    channel: str
    outcome: Outcome
    reason: str | None = None
    sent: int | None = None
    returned: int | None = None
    round_trips: HistogramExport | None = None


class Over(Contract, frozen=True):
    """The plan is over. Counts what the relay left in Asterisk two seconds after the last call; None is unknown."""

    channels_left: int | None = None
    bridges_left: int | None = None


CallerEvent = Placed | NotPlaced | Ended | Over
_KINDS: dict[str, type[CallerEvent]] = {kind.__name__: kind for kind in (Placed, NotPlaced, Ended, Over)}


def classify_end(
    *, answered: bool, refused: str | None, given_back: str | None, hung_up: HungUp | None
) -> tuple[Outcome, str | None]:
    """Return how a call ended, and the reason unless it ended as planned.

    Args:
        answered: the relay accepted the call.
        refused: `RTP_RELAY_REFUSED`.
        given_back: `RTP_RELAY_ENDED`, when the relay returned an answered call to the dialplan.
        hung_up: how the caller hung up; None when Asterisk or the relay ended the call.
    """
    if refused is not None:
        return "refused", refused
    if hung_up == "interrupted":
        return "interrupted", None
    if hung_up == "asPlanned":
        return ("completed", None) if answered else ("failed", "NotAnswered")
    return "failed", given_back or "EndedEarly"


def to_line(event: CallerEvent) -> str:
    """Return an event as a line, with the line end."""
    return json.dumps({"event": type(event).__name__, **to_json(event)}, separators=(",", ":")) + "\n"


def from_line(line: str) -> CallerEvent:
    """Parse a line.

    Raises:
        ContractError: the line is not an event.
    """
    try:
        document = json.loads(line)
    except ValueError as error:
        raise ContractError(f"{line[:60]!r} is not JSON: {error}") from error
    kind = _KINDS.get(document.get("event", "")) if isinstance(document, dict) else None
    if kind is None:
        raise ContractError(f"{line[:60]!r}: event; accepted is one of {', '.join(_KINDS)}")
    return from_json(kind, document)

"""The values that the templates show: a figure with its exact value for programs, and a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

BAR_HEIGHT = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as people read it, and its exact value."""

    value: float
    text: str
    kind: str = "figure"


@dataclass(frozen=True, slots=True)
class Moment:
    """A date and time of day in UTC."""

    iso: str
    text: str
    kind: str = "moment"


@dataclass(frozen=True, slots=True)
class Absent:
    """The placeholder of a figure that was not measured, with the reason where there is one."""

    text: str = "not measured"
    kind: str = "absent"


@dataclass(frozen=True, slots=True)
class Text:
    """A figure that is a word."""

    text: str
    kind: str = "text"


Cell = Figure | Moment | Absent | Text
NOT_MEASURED = Absent()


def moment(unix_seconds: int) -> Moment:
    """Make a time of the window."""
    at = datetime.fromtimestamp(unix_seconds, UTC)
    return Moment(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S} UTC")

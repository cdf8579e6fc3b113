"""Packets of a call in each direction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaFlow:
    """Packets since the call was connected. `first_return_ns`: from Asterisk's first answered packet to its return.

    `first_arrival_ns` is when that packet came from Asterisk, in ns of Unix time.
    """

    sent_to_echo: int
    returned: int
    first_return_ns: int | None = None
    first_arrival_ns: int | None = None

"""Packets of a call in each direction."""

from __future__ import annotations

from typing import NamedTuple


class MediaFlow(NamedTuple):
    """Packets since the call was connected.

    `first_return_ns` is the time from the first answered packet of Asterisk to its return. `first_arrival_ns` is when
    that packet arrived from Asterisk, in ns of Unix time.
    """

    sent_to_echo: int
    returned: int
    first_return_ns: int | None = None
    first_arrival_ns: int | None = None

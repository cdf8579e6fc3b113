"""Packets received per source and SSRC: the figure that the echo writes into the extension.

The table is bounded. The source that was silent for longest is forgotten first, and its count starts at 1 again. To
displace a call, forged sources would have to fill the whole table within the 20 ms between two of its packets.
"""

from __future__ import annotations

from typing import Any

from rtppool_echo.rules.sender_table import LATEST, OLDER, OLDEST, VALUE, YOUNGER, add, find, remove

MAX_STREAMS = 16_384
_MODULUS = 1 << 32


def count(streams: Any, key: Any, at: int) -> int:
    """Count a packet of a stream. Return the new count, modulo 2^32."""
    entry = find(streams, key, at)
    if entry == 0:
        entry = add(streams, key, at)
        if entry == 0:
            oldest = streams[OLDEST]
            _unlink(streams, oldest)
            remove(streams, oldest)
            entry = add(streams, key, at)
        streams[entry + VALUE] = 0
    elif entry == streams[LATEST]:
        return _next(streams, entry)
    else:
        _unlink(streams, entry)
    _link_as_latest(streams, entry)
    return _next(streams, entry)


def _next(streams: Any, entry: int) -> int:
    number = (streams[entry + VALUE] + 1) % _MODULUS
    streams[entry + VALUE] = number
    return number  # type: ignore[no-any-return]


def _link_as_latest(streams: Any, entry: int) -> None:
    latest = streams[LATEST]
    streams[entry + OLDER], streams[entry + YOUNGER] = latest, 0
    if latest != 0:
        streams[latest + YOUNGER] = entry
    else:
        streams[OLDEST] = entry
    streams[LATEST] = entry


def _unlink(streams: Any, entry: int) -> None:
    older, younger = streams[entry + OLDER], streams[entry + YOUNGER]
    if older != 0:
        streams[older + YOUNGER] = younger
    else:
        streams[OLDEST] = younger
    if younger != 0:
        streams[younger + OLDER] = older
    else:
        streams[LATEST] = older

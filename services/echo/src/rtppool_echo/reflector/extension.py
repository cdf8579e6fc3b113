"""Filling of the header extension that the relay sends empty (`rtppool_core.rtp.echo_extension`).

Only a packet in exactly the relay's form is changed: first byte 0x90, and the extension's mark, unfilled. The arrival
time is the kernel's stamp. The departure time is read once, just before the batch leaves. Refused packets are not
counted.

The host time is asked for only for a packet that was held for `MIN_SLOW_NS`. An ordinary one has none.
"""

from __future__ import annotations

from typing import Any

from rtppool_core.rtp import echo_extension

MIN_SLOW_NS = 1_000_000
_MIN_BYTES = echo_extension.MIN_PACKET_BYTES
_FIRST_BYTE = echo_extension.FIRST_BYTE
_MARK = tuple(echo_extension.UNFILLED_MARK)
_MARK_OFFSET = echo_extension.MARK_OFFSET
_FILLED_OFFSET = echo_extension.FILLED_OFFSET
_HOST_OFFSET = echo_extension.HOST_OFFSET
_COUNT_OFFSET = echo_extension.COUNT_OFFSET
_RECEIVED_OFFSET = echo_extension.RECEIVED_OFFSET
_SENT_OFFSET = echo_extension.SENT_OFFSET


def has_extension(data: Any, start: int, size: int) -> bool:
    """Return whether the packet of `size` bytes from `start` on carries the extension unfilled."""
    if size < _MIN_BYTES or data[start] != _FIRST_BYTE:
        return False
    for place in range(len(_MARK)):  # noqa: SIM110 numba has no generators in `all`
        if data[start + _MARK_OFFSET + place] != _MARK[place]:
            return False
    return True


def fill(data: Any, start: int, count: int, received_ns: int, sent_ns: int, host: int) -> None:
    """Fill the extension of the packet that begins at `start`. `host` is the field of the host time."""
    data[start + _FILLED_OFFSET] = 1
    fill_host(data, start, host)
    _write(data, start + _COUNT_OFFSET, 4, count)
    _write(data, start + _RECEIVED_OFFSET, 8, received_ns)
    _write(data, start + _SENT_OFFSET, 8, sent_ns)


def fill_host(data: Any, start: int, host: int) -> None:
    """Replace the field of the host time."""
    _write(data, start + _HOST_OFFSET, 2, host)


def _write(data: Any, start: int, size: int, number: int) -> None:
    """Write a number in network order."""
    for place in range(size):
        data[start + place] = (number >> 8 * (size - 1 - place)) & 0xFF

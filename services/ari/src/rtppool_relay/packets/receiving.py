"""One datagram from a socket, with what the kernel tells beside it. Compiled."""

from __future__ import annotations

import socket

from rtppool_relay.packets.compiled import compiled
from rtppool_relay.packets.memory import (
    CONTROL_WORDS,
    FROM_ASTERISK_WITH_SENDER,
    MAX_ADDRESS_BYTES,
    MESSAGE_BYTES,
    STAMP_KIND,
    TOS_KIND,
    TRAFFIC_CLASS_KIND,
    UNKNOWN,
    Media,
)
from rtppool_relay.packets.system_calls import recvmsg

_DONTWAIT = int(socket.MSG_DONTWAIT)
_TRUNC = int(socket.MSG_TRUNC)
_MIN_CONTROL_BYTES = 16


@compiled
def receive(media: Media, descriptor: int, which: int) -> tuple[int, int, int, int]:
    """Read into `media.data` by the message `which`: bytes, the stamp's seconds and nanoseconds, TOS.

    Bytes are negative when there is nothing or an error; what the kernel did not tell is `UNKNOWN`.
    """
    message = media.messages[which]
    message.control_bytes = 8 * CONTROL_WORDS
    if which == FROM_ASTERISK_WITH_SENDER:
        message.name_bytes = MAX_ADDRESS_BYTES
    size = recvmsg(descriptor, media.messages_address + which * MESSAGE_BYTES, _DONTWAIT)
    seconds = nanoseconds = tos = UNKNOWN
    if size < 0:
        return size, seconds, nanoseconds, tos
    control = media.control
    place, end = 0, message.control_bytes // 8
    while place + 2 < end and control[place] > _MIN_CONTROL_BYTES:
        kind = control[place + 1]
        if kind == STAMP_KIND:
            seconds, nanoseconds = control[place + 2], control[place + 3]
        elif kind in (TOS_KIND, TRAFFIC_CLASS_KIND):
            tos = control[place + 2] & 0xFF
        place += (control[place] + 7) // 8
    return size, seconds, nanoseconds, tos


@compiled
def was_cut(media: Media, which: int) -> bool:
    """Whether the datagram just read by `which` was longer than the buffer."""
    return bool(media.messages[which].flags & _TRUNC)

"""The receive of one datagram, and the numbers of processors. Compiled."""

from __future__ import annotations

import socket

from rtppool_core.compiled.system_calls import getsockopt, recvmsg, sched_getcpu, signed
from rtppool_core.net import udp
from rtppool_relay.media.rows import UNKNOWN_CPU
from rtppool_relay.packets.compiled import compiled
from rtppool_relay.packets.layout import (
    CONTROL_WORDS,
    FROM_ASTERISK_WITH_SENDER,
    MAX_ADDRESS_BYTES,
    MESSAGE_BYTES,
    STAMP_KIND,
    TOS_KIND,
    TRAFFIC_CLASS_KIND,
    UNKNOWN,
)
from rtppool_relay.packets.memory import Media

_DONTWAIT = int(socket.MSG_DONTWAIT)
_TRUNC = int(socket.MSG_TRUNC)
_MIN_CONTROL_BYTES = 16
_SOL_SOCKET = int(socket.SOL_SOCKET)
_SO_INCOMING_CPU = udp.SO_INCOMING_CPU


@compiled
def receive(media: Media, descriptor: int, which: int) -> tuple[int, int, int, int]:
    """Receive a datagram into `media.data` with the message `which`; return size, stamp and TOS.

    The size is negative where nothing waits or an error occurred. The stamp is in seconds and nanoseconds. A stamp or
    TOS that the kernel did not deliver is `UNKNOWN`.
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
    """Return whether the datagram just received with `which` was longer than the buffer."""
    return bool(media.messages[which].flags & _TRUNC)


@compiled
def processor() -> int:
    """Return the number of the processor that runs this code, or `UNKNOWN_CPU`."""
    return known_processor(sched_getcpu())


@compiled
def arrival_processor(media: Media, descriptor: int) -> int:
    """Return the processor on which the kernel received the latest datagram of a connected socket, or `UNKNOWN_CPU`."""
    # The option's value, and its length, which the kernel reads and writes.
    options = media.options
    options[1] = 4
    if getsockopt(descriptor, _SOL_SOCKET, _SO_INCOMING_CPU, media.options_address, media.options_address + 4):
        return UNKNOWN_CPU
    # A socket without a datagram has -1.
    return known_processor(options[0])


@compiled
def known_processor(number: int) -> int:
    """Return a processor's number, or `UNKNOWN_CPU` where it does not fit into a row."""
    return signed(number) if 0 <= signed(number) < UNKNOWN_CPU else UNKNOWN_CPU

"""The error of our departure times, from one send in a hundred that the kernel stamps as well. Compiled.

The relay reads the clock just before the send. SO_TIMESTAMPING's software stamp is taken in the driver, as late as
possible. The kernel queues the stamps on the socket's error queue, without the datagram (OPT_TSONLY) and numbered from
0 (OPT_ID). On most devices the stamp is queued when the send returns; otherwise EPOLLERR announces it.
"""

from __future__ import annotations

import socket

from rtppool_core.compiled.system_calls import recvmsg, send, sendmsg, setsockopt
from rtppool_core.net import udp
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.media.rows import DEPARTURE_ERRORS, DEPARTURE_ERRORS_OFFSET_WORDS, Word
from rtppool_relay.packets.compiled import compiled
from rtppool_relay.packets.layout import (
    CONTROL_WORDS,
    ERROR_KIND,
    ERROR_KIND_V6,
    MAX_PENDING,
    MESSAGE_BYTES,
    STAMP_KIND,
    STAMP_REPORT,
    STAMPED_SEND,
    UNKNOWN,
)
from rtppool_relay.packets.memory import Media

_DONTWAIT = int(socket.MSG_DONTWAIT)
_FROM_ERROR_QUEUE = int(socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
_SOL_SOCKET = int(socket.SOL_SOCKET)
_SO_TIMESTAMPING = udp.SO_TIMESTAMPING
_STAMPED_ARRIVALS = udp.STAMPED_ARRIVALS
_STAMPED_BOTH_WAYS = udp.STAMPED_BOTH_WAYS
_ORIGIN_TIMESTAMPING = udp.SO_EE_ORIGIN_TIMESTAMPING
_STAMPED = int(Word.DEPARTURES_STAMPED)
_MESSAGE_OF_SEND = STAMPED_SEND * MESSAGE_BYTES
_MESSAGE_OF_REPORT = STAMP_REPORT * MESSAGE_BYTES


@compiled
def send_packet(media: Media, descriptor: int, at: int, size: int, departed_ns: int, stamped: bool) -> bool:
    """Send `size` bytes of the buffer from `at` on; return False where the kernel refuses.

    `stamped`: ask the kernel for a stamp of the departure, where it supports that.
    """
    link = media.sockets[descriptor]
    address = media.data_address + at
    if not (stamped and link.stamped):
        return send(descriptor, address, size, _DONTWAIT) >= 0
    vector = media.vectors[STAMPED_SEND]
    vector.base, vector.bytes = address, size
    if sendmsg(descriptor, media.messages_address + _MESSAGE_OF_SEND, _DONTWAIT) < 0:
        # The kernel may or may not have numbered this one: restart at 0.
        _restart_numbers(media, descriptor)
        return False
    awaited = media.pending[descriptor, link.number % MAX_PENDING]
    awaited.number, awaited.departed_ns = link.number, departed_ns
    link.number = (link.number + 1) & 0xFFFF_FFFF
    collect_stamps(media, descriptor)
    return True


@compiled
def collect_stamps(media: Media, descriptor: int) -> None:
    """Read the stamps that wait on the socket's error queue."""
    control = media.control
    message = media.messages[STAMP_REPORT]
    for _ in range(MAX_PENDING):
        message.control_bytes = 8 * CONTROL_WORDS
        if recvmsg(descriptor, media.messages_address + _MESSAGE_OF_REPORT, _FROM_ERROR_QUEUE) < 0:
            return
        stamp_ns = number = UNKNOWN
        place, end = 0, message.control_bytes // 8
        while place + 3 < end and control[place] > 0:
            kind = control[place + 1]
            if kind == STAMP_KIND:
                stamp_ns = control[place + 2] * NS_PER_SECOND + control[place + 3]
            elif kind in (ERROR_KIND, ERROR_KIND_V6) and (control[place + 2] >> 32) & 0xFF == _ORIGIN_TIMESTAMPING:
                number = (control[place + 3] >> 32) & 0xFFFF_FFFF
            place += (control[place] + 7) // 8
        if stamp_ns >= 0 and number >= 0:
            _match(media, descriptor, number, stamp_ns)


@compiled
def _match(media: Media, descriptor: int, number: int, stamp_ns: int) -> None:
    awaited = media.pending[descriptor, number % MAX_PENDING]
    if awaited.number != number:
        return
    awaited.number = UNKNOWN
    error_ns = stamp_ns - awaited.departed_ns
    # Negative after a step of the clock between reading and stamp: no error of ours.
    if error_ns < 0:
        return
    words = media.words[media.sockets[descriptor].slot]
    words[DEPARTURE_ERRORS_OFFSET_WORDS + words[_STAMPED] % DEPARTURE_ERRORS] = error_ns
    words[_STAMPED] += 1


@compiled
def _restart_numbers(media: Media, descriptor: int) -> None:
    media.pending[descriptor].number[:] = UNKNOWN
    media.sockets[descriptor].number = 0
    options = media.options
    options[0], options[1] = _STAMPED_ARRIVALS, _STAMPED_BOTH_WAYS
    setsockopt(descriptor, _SOL_SOCKET, _SO_TIMESTAMPING, media.options_address, 4)
    setsockopt(descriptor, _SOL_SOCKET, _SO_TIMESTAMPING, media.options_address + 4, 4)

"""System calls of compiled code, through the C library, and the receive of one datagram.

Addresses are numbers, as in `array.ctypes.data`. A call that fails returns -1 and sets `error_number()`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rtppool_core.net import udp
from rtppool_relay.media.rows import UNKNOWN_CPU
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

_DONTWAIT = int(socket.MSG_DONTWAIT)
_TRUNC = int(socket.MSG_TRUNC)
_MIN_CONTROL_BYTES = 16
_SOL_SOCKET = int(socket.SOL_SOCKET)
_SO_INCOMING_CPU = udp.SO_INCOMING_CPU


def external(name: str, result: Any, *arguments: Any) -> Callable[..., int]:
    """Return a function of the C library, by the types of its result and arguments."""
    function: Callable[..., int] = types.ExternalFunction(name, result(*arguments))
    return function


recvmsg = external("recvmsg", types.intp, types.int32, types.uintp, types.int32)
sendmsg = external("sendmsg", types.intp, types.int32, types.uintp, types.int32)
send = external("send", types.intp, types.int32, types.uintp, types.uintp, types.int32)
epoll_wait = external("epoll_wait", types.int32, types.int32, types.uintp, types.int32, types.int32)
setsockopt = external("setsockopt", types.int32, types.int32, types.int32, types.int32, types.uintp, types.uint32)
getsockopt = external("getsockopt", types.int32, types.int32, types.int32, types.int32, types.uintp, types.uintp)
# Of the C library's memory, without a system call (rseq), from glibc 2.35 on.
sched_getcpu = external("sched_getcpu", types.int32)
clock_gettime = external("clock_gettime", types.int32, types.int32, types.uintp)
_error_location = external("__errno_location", types.uintp)

Codegen = tuple[Any, Any]


@intrinsic
def _int32_at(_typing: Any, _address: Any) -> Codegen:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.PointerType()), typ=ir.IntType(32))

    return types.int32(types.uintp), generate


@intrinsic
def _fence(_typing: Any) -> Codegen:
    def generate(context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        builder.fence("release")
        return context.get_dummy_value()

    return types.void(), generate


# Other processes see the writes before it before the writes after it (C11 `memory_order_release`).
fence = cast("Callable[[], None]", _fence)

_error_at = cast("Callable[[int], int]", _int32_at)


@compiled
def error_number() -> int:
    """Return the C library's `errno`."""
    return _error_at(_error_location())


@compiled
def signed(number: Any) -> int:
    """Return a number as a signed one of 64 bits, the type that compiled code computes with."""
    return np.int64(number)  # type: ignore[return-value]


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

"""The C library's functions that compiled code calls; every address is a number, as `array.ctypes.data` gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rtppool_relay.packets.compiled import compiled


def _external(name: str, result: Any, *arguments: Any) -> Callable[..., int]:
    function: Callable[..., int] = types.ExternalFunction(name, result(*arguments))
    return function


# A call returns -1 for an error, whose number is then `error_number()`.
recvmsg = _external("recvmsg", types.intp, types.int32, types.uintp, types.int32)
sendmsg = _external("sendmsg", types.intp, types.int32, types.uintp, types.int32)
send = _external("send", types.intp, types.int32, types.uintp, types.uintp, types.int32)
epoll_wait = _external("epoll_wait", types.int32, types.int32, types.uintp, types.int32, types.int32)
setsockopt = _external("setsockopt", types.int32, types.int32, types.int32, types.int32, types.uintp, types.uint32)
clock_gettime = _external("clock_gettime", types.int32, types.int32, types.uintp)
_error_location = _external("__errno_location", types.uintp)

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


# What was written before is seen by other processes before what is written after (C11 `memory_order_release`).
fence = cast("Callable[[], None]", _fence)

_error_at = cast("Callable[[int], int]", _int32_at)


@compiled
def error_number() -> int:
    """The C library's `errno`, after a call that returned -1."""
    return _error_at(_error_location())


@compiled
def signed(number: Any) -> int:
    """A number as a signed one of 64 bits, which is what compiled code computes with."""
    return np.int64(number)  # type: ignore[return-value]

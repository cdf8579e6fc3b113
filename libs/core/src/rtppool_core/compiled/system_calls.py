"""Functions of the C library for compiled code, most of them system calls.

Addresses are numbers, as in `array.ctypes.data`. A call that fails returns -1 and sets `error_number()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable


def external(name: str, result: Any, *arguments: Any) -> Callable[..., int]:
    """Return a function of the C library, by the types of its result and arguments."""
    function: Callable[..., int] = types.ExternalFunction(name, result(*arguments))
    return function


recvmsg = external("recvmsg", types.intp, types.int32, types.uintp, types.int32)
sendmsg = external("sendmsg", types.intp, types.int32, types.uintp, types.int32)
# Addresses of arrays of struct mmsghdr; the last argument of recvmmsg is that of a struct timespec.
recvmmsg = external("recvmmsg", types.int32, types.int32, types.uintp, types.uint32, types.int32, types.uintp)
sendmmsg = external("sendmmsg", types.int32, types.int32, types.uintp, types.uint32, types.int32)
send = external("send", types.intp, types.int32, types.uintp, types.uintp, types.int32)
poll = external("poll", types.int32, types.uintp, types.uint64, types.int32)
epoll_wait = external("epoll_wait", types.int32, types.int32, types.uintp, types.int32, types.int32)
setsockopt = external("setsockopt", types.int32, types.int32, types.int32, types.int32, types.uintp, types.uint32)
getsockopt = external("getsockopt", types.int32, types.int32, types.int32, types.int32, types.uintp, types.uintp)
# Of the C library's memory, without a system call (rseq), from glibc 2.35 on.
sched_getcpu = external("sched_getcpu", types.int32)
clock_gettime = external("clock_gettime", types.int32, types.int32, types.uintp)
clock_nanosleep = external("clock_nanosleep", types.int32, types.int32, types.int32, types.uintp, types.uintp)
pread = external("pread", types.intp, types.int32, types.uintp, types.uintp, types.int64)
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
_part: Any = register_jitable


def _error_number() -> int:
    return _error_at(_error_location())


def _signed(number: Any) -> int:
    return np.int64(number)  # type: ignore[return-value]


# The C library's `errno`.
error_number: Callable[[], int] = _part(_error_number)
# A number as a signed one of 64 bits, the type that compiled code computes with.
signed: Callable[[Any], int] = _part(_signed)

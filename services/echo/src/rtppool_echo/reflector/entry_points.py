"""The functions that a reflecting process calls. Each gets the address of the description of `Reflector`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types

from rtppool_core.compiled.arrays import tuple_at
from rtppool_core.compiled.compiler import EntryPoints, exported, register
from rtppool_echo.reflector import batch, system_calls
from rtppool_echo.reflector.compiled import compiled
from rtppool_echo.reflector.memory import BYTE_ARRAYS, NUMBERS, Reflector


def _type_of(field: str) -> Any:
    if field in NUMBERS:
        return types.int64
    return types.Array(types.uint8 if field in BYTE_ARRAYS else types.int64, 1, "C")


_numba: Any = types
_KIND = _numba.NamedTuple([_type_of(field) for field in Reflector._fields], Reflector)
# An array of one dimension takes three words.
_echo: Callable[[int], Reflector] = tuple_at(_KIND, 3 * len(Reflector._fields))

register(system_calls)


def _reflect(address: int) -> int:
    return system_calls.reflect(_echo(address))


def _judge(address: int, number: int, now_ns: int) -> int:
    batch.judge(_echo(address), number, now_ns)
    return 0


def _fill_waiting(address: int, sent_ns: int) -> int:
    return int(batch.fill_waiting(_echo(address), sent_ns))


def _answer(address: int) -> int:
    return system_calls.answer(_echo(address))


# The forms that numba makes in development.
reflect = compiled(_reflect)
judge = compiled(_judge)
fill_waiting = compiled(_fill_waiting)
answer = compiled(_answer)
ENTRY_POINTS: EntryPoints = {
    "reflect": (exported(_reflect), (types.uintp,)),
    "judge": (exported(_judge), (types.uintp, types.int64, types.int64)),
    "fill_waiting": (exported(_fill_waiting), (types.uintp, types.int64)),
    "answer": (exported(_answer), (types.uintp,)),
}

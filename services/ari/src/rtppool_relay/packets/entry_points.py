"""The packet path's functions as a library exports them: with numbers for arguments and results.

numba passes `Media` as a tuple of arrays, in a form of its own. A library gets the address of its description instead
(`memory`), and makes the tuple from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from rtppool_core.host.beat_words import WORD_BYTES
from rtppool_relay.media.sizes import SLOT_BYTES
from rtppool_relay.packets import departure_stamps, heartbeat, packet_path
from rtppool_relay.packets.compiled import exported
from rtppool_relay.packets.memory import MAX_DESCRIPTION_WORDS, Media, lay_out

# Machine code depends on the arrays' types: the rows of a single slot would be one contiguous array.
SCRATCH_SLOTS = 2
NO_DESCRIPTOR = -1


def scratch_media() -> Media:
    """Return memory without a call and without a valid descriptor."""
    media = lay_out(bytearray(SCRATCH_SLOTS * SLOT_BYTES), SCRATCH_SLOTS, NO_DESCRIPTOR, NO_DESCRIPTOR)
    media.calls["asterisk"] = NO_DESCRIPTOR
    return media


_numba: Any = numba
_arrays: Any = arrayobj
_MEDIA = _numba.typeof(scratch_media())


@intrinsic
def _media_at(_typing: Any, _address: Any) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        words = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        places = (builder.gep(words, [ir.IntType(32)(place)]) for place in range(MAX_DESCRIPTION_WORDS))
        loaded = (builder.load(place) for place in places)
        return context.make_tuple(builder, _MEDIA, [_field(context, builder, kind, loaded) for kind in _MEDIA.types])

    return _MEDIA(types.uintp), generate


@intrinsic
def _words_at(_typing: Any, _address: Any, _count: Any) -> tuple[Any, Any]:
    kind = types.Array(types.int64, 1, "C")

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _field(context, builder, kind, iter((args[0], args[1], ir.IntType(64)(WORD_BYTES))))

    return kind(types.uintp, types.int64), generate


def _field(context: Any, builder: Any, kind: Any, loaded: Any) -> Any:
    """Generate a field of `Media` from the next words of its description."""
    if not isinstance(kind, types.Array):
        return next(loaded)
    array = _arrays.make_array(kind)(context, builder)
    _arrays.populate_array(
        array,
        data=builder.inttoptr(next(loaded), array.data.type),
        shape=[next(loaded) for _ in range(kind.ndim)],
        strides=[next(loaded) for _ in range(kind.ndim)],
        itemsize=context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype))),
        meminfo=None,
    )
    return array._getvalue()  # noqa: SLF001 numba's own way to complete an array


_words = cast("Callable[[int, int], Any]", _words_at)
_media = cast("Callable[[int], Media]", _media_at)


@exported
def _forward(address: int) -> int:
    return int(packet_path.forward(_media(address)))


@exported
def _drain_queued(address: int, slot: int) -> int:
    packet_path.drain_queued(_media(address), slot)
    return 0


@exported
def _expect(address: int, slot: int, highest: int) -> int:
    packet_path.expect(_media(address), slot, highest)
    return 0


@exported
def _collect_stamps(address: int, descriptor: int) -> int:
    departure_stamps.collect_stamps(_media(address), descriptor)
    return 0


@exported
def _beat(address: int, count: int) -> int:
    return int(heartbeat.beat(_words(address, count)))


# By exported name: the function and its arguments' types.
ENTRY_POINTS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "forward": (_forward, (types.uintp,)),
    "drain_queued": (_drain_queued, (types.uintp, types.int64)),
    "expect": (_expect, (types.uintp, types.int64, types.int64)),
    "beat": (_beat, (types.uintp, types.int64)),
    "collect_stamps": (_collect_stamps, (types.uintp, types.int64)),
}

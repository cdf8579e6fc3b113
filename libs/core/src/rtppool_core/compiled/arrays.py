"""Arrays of compiled code, from the words that describe each: address, shape and strides.

numba passes a tuple of arrays in a form of its own. A library gets the address of its description instead, and makes
the tuple from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

_arrays: Any = arrayobj


def tuple_at(kind: Any, max_words: int) -> Callable[[int], Any]:
    """Return a function for compiled code: it makes a tuple of numba's type `kind` from the words at an address."""

    @intrinsic
    def at(_typing: Any, _address: Any) -> tuple[Any, Any]:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            words = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
            places = (builder.gep(words, [ir.IntType(32)(place)]) for place in range(max_words))
            loaded = (builder.load(place) for place in places)
            return context.make_tuple(builder, kind, [_field(context, builder, each, loaded) for each in kind.types])

        return kind(types.uintp), generate

    return cast("Callable[[int], Any]", at)


@intrinsic
def _words_at(_typing: Any, _address: Any, _count: Any) -> tuple[Any, Any]:
    kind = types.Array(types.int64, 1, "C")

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return _field(context, builder, kind, iter((args[0], args[1], ir.IntType(64)(8))))

    return kind(types.uintp, types.int64), generate


# For compiled code: an array of so many 64-bit words at an address.
words_at = cast("Callable[[int, int], Any]", _words_at)


def _field(context: Any, builder: Any, kind: Any, loaded: Iterator[Any]) -> Any:
    """Generate a field of a tuple from the next words of its description."""
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

"""The memory of a media process as numpy's arrays, which numba's form of the packet path and tests read and write.

Compiled code gets all of it as one tuple of arrays and numbers. Only `words` and `rows` are shared with the control
process.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtppool_relay.media.rows import WRITTEN_DTYPE
from rtppool_relay.media.sizes import HEADER_BYTES, ROW_BYTES, ROWS_PER_SLOT, SLOT_BYTES
from rtppool_relay.packets.layout import FIELDS, Array, Layout, Record

Words = NDArray[np.int64]
Records = NDArray[np.void]


class Media(NamedTuple):
    """All arrays of a media process. `*_address` is the address of the array of that name."""

    epoll: int
    commands: int  # `forward` returns when this descriptor is readable
    calls: Records
    sources: Records  # by slot, `MAX_SOURCES` each
    peers: NDArray[np.uint8]  # a call's Asterisk, as a struct sockaddr
    sockets: Records  # by descriptor
    pending: Records  # by descriptor
    words: Words
    rows: Records
    data: NDArray[np.uint8]
    data_address: int
    sender: NDArray[np.uint8]
    messages: Records
    messages_address: int
    vectors: Records
    control: Words
    clock: Words  # seconds and nanoseconds, as clock_gettime writes them
    clock_address: int
    clock_offset_ns: Words  # added to the wall clock and to CLOCK_MONOTONIC_RAW, so that tests can move the time
    options: NDArray[np.uint32]
    options_address: int
    events: Records
    events_address: int
    unfilled: NDArray[np.uint8]
    request: Words  # the control message that asks for a stamp
    description: Words  # all of this as 64-bit words, see `Layout`
    description_address: int


def lay_out(memory: Any, slots: int, epoll: int, commands: int) -> Media:
    """Return the memory of a media process over the shared rows in `memory`, a writable buffer of `slots` slots."""
    layout = Layout(memory, slots, epoll, commands)
    fields: dict[str, Any] = dict(layout.numbers)
    for name, array in layout.arrays.items():
        fields[name] = np.ndarray(array.shape, dtype_of(array), layout.own, layout.offsets[name])
    fields["words"] = np.ndarray((slots, HEADER_BYTES // 8), np.int64, memory, 0, (SLOT_BYTES, 8))
    shape = (slots, ROWS_PER_SLOT)
    fields["rows"] = np.ndarray(shape, WRITTEN_DTYPE, memory, HEADER_BYTES, (SLOT_BYTES, ROW_BYTES))
    for name in FIELDS:
        if name not in fields:
            fields[name] = layout.address(name.removesuffix("_address"))
    return Media(**fields)


def dtype_of(array: Array) -> np.dtype[Any]:
    """Return numpy's type of an array's items."""
    item = array.item
    if not isinstance(item, Record):
        return np.dtype(item)
    if item.itemsize == sum(np.dtype(kind).itemsize for kind in item.formats):
        return np.dtype(list(zip(item.names, item.formats, strict=True)))
    return np.dtype({"names": item.names, "formats": item.formats, "offsets": item.offsets, "itemsize": item.itemsize})

"""The layout of a media process's memory, which machine code reads without numpy, against numpy's arrays."""

from __future__ import annotations

import numpy as np

from rtppool_relay.media.sizes import SLOT_BYTES
from rtppool_relay.packets.layout import FIELDS, Layout
from rtppool_relay.packets.memory import Media, dtype_of, lay_out

SLOTS = 3


def described(field: int | np.ndarray) -> list[int]:
    """A number itself; of an array its address, shape and strides."""
    return [field] if isinstance(field, int) else [field.ctypes.data, *field.shape, *field.strides]


def test_the_description_is_that_of_numpys_arrays() -> None:
    media = lay_out(bytearray(SLOTS * SLOT_BYTES), SLOTS, 7, 8)
    words = [word for field in media for word in described(field)]
    assert media.description[: len(words)].tolist() == words
    assert not media.description[len(words) :].any()
    assert media.description_address == media.description.ctypes.data


def test_the_fields_are_those_of_compiled_code() -> None:
    assert Media._fields == FIELDS


def test_arrays_follow_each_other_and_are_filled_as_numpy_reads_them() -> None:
    media = lay_out(bytearray(SLOTS * SLOT_BYTES), SLOTS, 7, 8)
    layout = Layout(bytearray(SLOTS * SLOT_BYTES), SLOTS, 7, 8)
    ends = [0]
    for name, array in layout.arrays.items():
        assert dtype_of(array).itemsize == array.item_bytes
        assert layout.offsets[name] >= ends[-1]
        ends.append(layout.offsets[name] + getattr(media, name).nbytes)
    assert ends[-1] == len(layout.own)
    assert (media.sockets["slot"] == -1).all()
    assert not media.calls["asterisk"].any()
    assert media.messages["vectors"].tolist() == [media.vectors.ctypes.data + 16 * at for at in range(5)]

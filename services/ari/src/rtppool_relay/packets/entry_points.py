"""The packet path's functions as a library exports them: with numbers for arguments and results.

A library gets the address of the description of `Media`, and makes the tuple of arrays from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import types

from rtppool_core.compiled.arrays import tuple_at, words_at
from rtppool_core.compiled.compiler import EntryPoints, exported
from rtppool_relay.media.sizes import SLOT_BYTES
from rtppool_relay.packets import departure_stamps, heartbeat, joining, packet_path
from rtppool_relay.packets.layout import MAX_DESCRIPTION_WORDS
from rtppool_relay.packets.memory import Media, lay_out

# Machine code depends on the arrays' types: the rows of a single slot would be one contiguous array.
SCRATCH_SLOTS = 2
NO_DESCRIPTOR = -1


def scratch_media() -> Media:
    """Return memory without a call and without a valid descriptor."""
    media = lay_out(bytearray(SCRATCH_SLOTS * SLOT_BYTES), SCRATCH_SLOTS, NO_DESCRIPTOR, NO_DESCRIPTOR)
    media.calls["asterisk"] = NO_DESCRIPTOR
    return media


_numba: Any = numba
_media: Callable[[int], Media] = tuple_at(_numba.typeof(scratch_media()), MAX_DESCRIPTION_WORDS)


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
def _begin_call(
    address: int, slot: int, asterisk: int, tos: int, extend: int, peer: int, peer_1: int, peer_2: int, peer_3: int
) -> int:
    joining.begin_call(_media(address), slot, asterisk, tos, extend, peer, peer_1, peer_2, peer_3)
    return 0


@exported
def _set_echo(address: int, slot: int, descriptor: int) -> int:
    joining.set_echo(_media(address), slot, descriptor)
    return 0


@exported
def _link(address: int, descriptor: int, slot: int, leg: int, stamped: int) -> int:
    joining.link(_media(address), descriptor, slot, leg, stamped)
    return 0


@exported
def _unlink(address: int, descriptor: int) -> int:
    joining.unlink(_media(address), descriptor)
    return 0


@exported
def _resume(address: int, slot: int) -> int:
    joining.resume(_media(address), slot)
    return 0


@exported
def _collect_stamps(address: int, descriptor: int) -> int:
    departure_stamps.collect_stamps(_media(address), descriptor)
    return 0


@exported
def _beat(address: int, count: int) -> int:
    return int(heartbeat.beat(words_at(address, count)))


ENTRY_POINTS: EntryPoints = {
    "forward": (_forward, (types.uintp,)),
    "drain_queued": (_drain_queued, (types.uintp, types.int64)),
    "expect": (_expect, (types.uintp, types.int64, types.int64)),
    "begin_call": (_begin_call, (types.uintp, *(types.int64,) * 8)),
    "set_echo": (_set_echo, (types.uintp, types.int64, types.int64)),
    "link": (_link, (types.uintp, *(types.int64,) * 4)),
    "unlink": (_unlink, (types.uintp, types.int64)),
    "resume": (_resume, (types.uintp, types.int64)),
    "beat": (_beat, (types.uintp, types.int64)),
    "collect_stamps": (_collect_stamps, (types.uintp, types.int64)),
}

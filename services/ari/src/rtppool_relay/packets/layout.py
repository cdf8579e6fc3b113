"""The layout of a media process's memory: calls, sockets, the shared rows, and buffers for the kernel.

Compiled code gets all of it as one tuple of arrays and numbers (`memory.Media`). A library needs no arrays of Python,
only the description of theirs. So this module imports no numpy, which would take half of a media process's memory.
"""

from __future__ import annotations

import mmap
import platform
import socket
import struct
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

from rtppool_core.compiled.library import address_of
from rtppool_core.net import udp
from rtppool_core.rtp.echo_extension import EXTENSION_BYTES, UNFILLED
from rtppool_relay.media.sizes import HEADER_BYTES, ROW_BYTES, ROWS_PER_SLOT, SLOT_BYTES

MAX_DATAGRAM = 2048
# The offset of a packet from Asterisk in the buffer: moving its header alone makes room for the echo's extension.
START = EXTENSION_BYTES
# More than the sockets of `SLOTS` calls, each with two and for a moment three.
DESCRIPTORS = 16384
MAX_EVENTS = 256
# Departures of one socket that wait for their stamps. On most devices the stamp is queued when the send returns.
MAX_PENDING = 8
# The kernel stamps one departure of a stream in so many.
ONE_IN = 100
UNKNOWN = -1

# An echo's leg is local where its address is one of this machine's.
ASTERISK_LEG, ECHO_LEG, LOCAL_ECHO_LEG = range(3)

# Earlier streams of a port, the last ones to be left. Their answers still count for as long as an answer can count.
MAX_SOURCES = 8
# Messages prepared for the kernel.
FROM_ASTERISK, FROM_ASTERISK_WITH_SENDER, FROM_ECHO, STAMPED_SEND, STAMP_REPORT = range(5)
_MESSAGES = 5
# Control messages are read as 64-bit words: length, then level and type in one, then the data.
CONTROL_WORDS = 32
STAMP_KIND = socket.SOL_SOCKET | udp.SO_TIMESTAMPING << 32
TOS_KIND = socket.IPPROTO_IP | socket.IP_TOS << 32
TRAFFIC_CLASS_KIND = socket.IPPROTO_IPV6 | socket.IPV6_TCLASS << 32
ERROR_KIND = socket.IPPROTO_IP | udp.IP_RECVERR << 32
ERROR_KIND_V6 = socket.IPPROTO_IPV6 | udp.IPV6_RECVERR << 32
STAMP_REQUEST = (socket.CMSG_LEN(4), STAMP_KIND, udp.TIMESTAMPING_TX_SOFTWARE)
MAX_ADDRESS_BYTES = 28
# An array of two dimensions takes five words.
MAX_DESCRIPTION_WORDS = 128
# Each array begins a cache line.
_ALIGNED_TO_BYTES = 64
_WORD, _LINK = struct.Struct("<q"), struct.Struct("<4q")


class Record(NamedTuple):
    """A record: its fields' names, numpy's names of their types, their offsets, and its size in bytes."""

    names: tuple[str, ...]
    formats: tuple[str, ...]
    offsets: tuple[int, ...]
    itemsize: int


def _record(*fields: tuple[str, str]) -> Record:
    """Return a record without gaps. A type's last character is its size."""
    sizes = [int(kind[-1]) for _, kind in fields]
    offsets = tuple(sum(sizes[:at]) for at in range(len(sizes)))
    return Record(tuple(name for name, _ in fields), tuple(kind for _, kind in fields), offsets, sum(sizes))


# The state of a call; numbers are those of its current stream, see `rows`.
CALL = _record(
    ("asterisk", "i8"),
    ("echo", "i8"),
    ("tos", "i8"),
    ("extend", "i4"),
    ("unchecked", "i4"),  # packets from before the connect may still be queued: check every sender
    ("epoch", "i8"),
    ("ssrc", "i8"),
    ("first_index", "i8"),
    ("highest", "i8"),
    ("offset", "i8"),  # of an index from its sequence number
    ("next", "i8"),  # the sequence number after `highest`
    ("bad", "i8"),  # the sequence number that would confirm a jump (RFC 3550 A.1)
    ("top", "i8"),  # the highest index of earlier streams
    ("sent", "i8"),
    ("stamp_at", "i8"),  # the next departure from this index on gets a kernel stamp
    ("stamp_answer_at", "i8"),
    ("usual_echo_ns", "i8"),  # of the echo's leg: follows shorter ones at once, and longer ones slowly
)
SOURCE = _record(
    ("used", "i8"),
    ("ssrc", "i8"),
    ("epoch", "i8"),
    ("first_index", "i8"),
    ("highest", "i8"),
    ("offset", "i8"),
    ("left_raw", "i8"),  # when its last packet was followed by one of another stream, in units of `RAW_UNIT_NS`
)
SOCKET = _record(
    ("slot", "i8"),
    ("leg", "i8"),
    ("stamped", "i8"),  # whether the kernel stamps departures
    ("number", "i8"),  # of the next stamped departure (OPT_ID)
)
PENDING = _record(("number", "i8"), ("departed_ns", "i8"))
# struct msghdr and struct iovec of a 64-bit Linux; struct epoll_event, which is packed on x86-64 only.
MESSAGE = Record(
    ("name", "name_bytes", "vectors", "vector_count", "control", "control_bytes", "flags"),
    ("<u8", "<u4", "<u8", "<u8", "<u8", "<u8", "<i4"),
    (0, 8, 16, 24, 32, 40, 48),
    56,
)
VECTOR = _record(("base", "<u8"), ("bytes", "<u8"))
_PACKED = platform.machine() == "x86_64"
EVENT = Record(("events", "descriptor"), ("<u4", "<i4"), (0, 4 if _PACKED else 8), 12 if _PACKED else 16)
MESSAGE_BYTES = MESSAGE.itemsize


class Array(NamedTuple):
    """An array without gaps: numpy's name of its items' type or a record, and its shape."""

    item: str | Record
    shape: tuple[int, ...]

    @property
    def item_bytes(self) -> int:
        """The size of an item."""
        return self.item.itemsize if isinstance(self.item, Record) else int(self.item[-1])

    @property
    def strides(self) -> tuple[int, ...]:
        """The bytes from an item to the next one of each dimension."""
        return tuple(self.item_bytes * prod(self.shape[at + 1 :]) for at in range(len(self.shape)))


def arrays_of(slots: int) -> dict[str, Array]:
    """Return the arrays of a media process's own memory by their names."""
    return {
        "calls": Array(CALL, (slots,)),
        "sources": Array(SOURCE, (slots, MAX_SOURCES)),
        "peers": Array("u1", (slots, MAX_ADDRESS_BYTES)),
        "sockets": Array(SOCKET, (DESCRIPTORS,)),
        "pending": Array(PENDING, (DESCRIPTORS, MAX_PENDING)),
        "data": Array("u1", (START + MAX_DATAGRAM,)),
        "sender": Array("u1", (MAX_ADDRESS_BYTES,)),
        "messages": Array(MESSAGE, (_MESSAGES,)),
        "vectors": Array(VECTOR, (_MESSAGES,)),
        "control": Array("i8", (CONTROL_WORDS,)),
        "clock": Array("i8", (2,)),
        "clock_offset_ns": Array("i8", (2,)),
        "options": Array("u4", (2,)),
        "events": Array(EVENT, (MAX_EVENTS,)),
        "unfilled": Array("u1", (len(UNFILLED),)),
        "request": Array("i8", (len(STAMP_REQUEST),)),
        "description": Array("i8", (MAX_DESCRIPTION_WORDS,)),
    }


# The fields of `memory.Media` in their order. `*_address` is the address of the array of that name.
FIELDS = (
    *("epoll", "commands", "calls", "sources", "peers", "sockets", "pending", "words", "rows"),
    *("data", "data_address", "sender", "messages", "messages_address", "vectors", "control"),
    *("clock", "clock_address", "clock_offset_ns", "options", "options_address", "events", "events_address"),
    *("unfilled", "request", "description", "description_address"),
)


class Layout:
    """The memory of a media process over the shared rows in `memory`, a writable buffer of `slots` slots.

    `epoll` and `commands` are descriptors.
    """

    def __init__(self, memory: Any, slots: int, epoll: int, commands: int) -> None:
        self.memory, self.slots = memory, slots
        self.numbers = {"epoll": epoll, "commands": commands}
        self.arrays = arrays_of(slots)
        self.offsets = dict(_offsets(self.arrays))
        last = next(reversed(self.arrays))
        self.own = mmap.mmap(-1, self.offsets[last] + self.arrays[last].item_bytes * prod(self.arrays[last].shape))
        self._begin = address_of(self.own)
        self._fill()
        words = [word for name in FIELDS for word in self._describe(name)]
        self._write("description", *words)

    @property
    def description_address(self) -> int:
        """The address of the description: all fields as 64-bit words, an array as address, shape and strides."""
        return self.address("description")

    def address(self, name: str) -> int:
        """Return the address of an array of the own memory."""
        return self._begin + self.offsets[name]

    def _describe(self, name: str) -> tuple[int, ...]:
        if name in self.arrays:
            array = self.arrays[name]
            return (self.address(name), *array.shape, *array.strides)
        if name == "words":
            return (address_of(self.memory), self.slots, HEADER_BYTES // 8, SLOT_BYTES, 8)
        if name == "rows":
            return (address_of(self.memory) + HEADER_BYTES, self.slots, ROWS_PER_SLOT, SLOT_BYTES, ROW_BYTES)
        if name in self.numbers:
            return (self.numbers[name],)
        return (self.address(name.removesuffix("_address")),)

    def _fill(self) -> None:
        """Write what compiled code expects to be there; the rest is 0."""
        at = self.offsets["sockets"]
        links = _LINK.pack(UNKNOWN, 0, 0, 0) * DESCRIPTORS
        self.own[at : at + len(links)] = links
        data, vectors = self.address("data"), self.address("vectors")
        for which in range(_MESSAGES):
            # An answer still has the echo's extension.
            size = MAX_DATAGRAM + (EXTENSION_BYTES if which == FROM_ECHO else 0)
            starts_at = START if which in (FROM_ASTERISK, FROM_ASTERISK_WITH_SENDER) else 0
            self._set("vectors", VECTOR, which, base=data + starts_at, bytes=0 if which == STAMP_REPORT else size)
            vector = vectors + which * VECTOR.itemsize
            self._set("messages", MESSAGE, which, vectors=vector, vector_count=1, control=self.address("control"))
        self._set("messages", MESSAGE, FROM_ASTERISK_WITH_SENDER, name=self.address("sender"))
        request_bytes = 8 * len(STAMP_REQUEST)
        self._set("messages", MESSAGE, STAMPED_SEND, control=self.address("request"), control_bytes=request_bytes)
        self._write("request", *STAMP_REQUEST)
        at = self.offsets["unfilled"]
        self.own[at : at + len(UNFILLED)] = UNFILLED

    def _set(self, name: str, record: Record, place: int, /, **fields: int) -> None:
        """Write fields of 64 bits of a record."""
        for field, value in fields.items():
            at = self.offsets[name] + place * record.itemsize + record.offsets[record.names.index(field)]
            _WORD.pack_into(self.own, at, value)

    def _write(self, name: str, *words: int) -> None:
        struct.pack_into(f"<{len(words)}q", self.own, self.offsets[name], *words)


def _offsets(arrays: Mapping[str, Array]) -> Iterator[tuple[str, int]]:
    at = 0
    for name, array in arrays.items():
        yield name, at
        size = array.item_bytes * prod(array.shape)
        at += -(-size // _ALIGNED_TO_BYTES) * _ALIGNED_TO_BYTES

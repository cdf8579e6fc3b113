"""The memory of a media process's compiled code: calls, sockets, the shared rows, and buffers for the kernel.

Compiled code gets all of it as one tuple of arrays and numbers. Only `words` and `rows` are shared with the control
process.
"""

from __future__ import annotations

import platform
import socket
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtppool_core.compiled.addresses import described
from rtppool_core.net import udp
from rtppool_core.rtp.echo_extension import EXTENSION_BYTES, UNFILLED
from rtppool_relay.media.rows import WRITTEN_DTYPE
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

# The state of a call; numbers are those of its current stream, see `rows`.
CALL_DTYPE = np.dtype(
    [
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
    ]
)
# Earlier streams of a port, the last ones to be left. Their answers still count for as long as an answer can count.
MAX_SOURCES = 8
SOURCE_DTYPE = np.dtype(
    [
        ("used", "i8"),
        ("ssrc", "i8"),
        ("epoch", "i8"),
        ("first_index", "i8"),
        ("highest", "i8"),
        ("offset", "i8"),
        ("left_raw", "i8"),  # when its last packet was followed by one of another stream, in units of `RAW_UNIT_NS`
    ]
)
SOCKET_DTYPE = np.dtype(
    [
        ("slot", "i8"),
        ("leg", "i8"),
        ("stamped", "i8"),  # whether the kernel stamps departures
        ("number", "i8"),  # of the next stamped departure (OPT_ID)
    ]
)
PENDING_DTYPE = np.dtype([("number", "i8"), ("departed_ns", "i8")])
# struct msghdr and struct iovec of a 64-bit Linux; struct epoll_event, which is packed on x86-64 only.
MESSAGE_DTYPE = np.dtype(
    {
        "names": ["name", "name_bytes", "vectors", "vector_count", "control", "control_bytes", "flags"],
        "formats": ["<u8", "<u4", "<u8", "<u8", "<u8", "<u8", "<i4"],
        "offsets": [0, 8, 16, 24, 32, 40, 48],
        "itemsize": 56,
    }
)
VECTOR_DTYPE = np.dtype([("base", "<u8"), ("bytes", "<u8")])
_PACKED = platform.machine() == "x86_64"
EVENT_DTYPE = np.dtype(
    {
        "names": ["events", "descriptor"],
        "formats": ["<u4", "<i4"],
        "offsets": [0, 4 if _PACKED else 8],
        "itemsize": 12 if _PACKED else 16,
    }
)
# Messages prepared for the kernel.
FROM_ASTERISK, FROM_ASTERISK_WITH_SENDER, FROM_ECHO, STAMPED_SEND, STAMP_REPORT = range(5)
MESSAGE_BYTES = MESSAGE_DTYPE.itemsize
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
    description: Words  # all of this as 64-bit words, see `described`
    description_address: int


def lay_out(memory: Any, slots: int, epoll: int, commands: int) -> Media:
    """Return the memory of a media process over the shared rows in `memory`, a writable buffer of `slots` slots."""
    data = np.zeros(START + MAX_DATAGRAM, np.uint8)
    sender = np.zeros(MAX_ADDRESS_BYTES, np.uint8)
    messages = np.zeros(_MESSAGES, MESSAGE_DTYPE)
    vectors = np.zeros(_MESSAGES, VECTOR_DTYPE)
    control, request = np.zeros(CONTROL_WORDS, np.int64), np.array(STAMP_REQUEST)
    clock, events = np.zeros(2, np.int64), np.zeros(MAX_EVENTS, EVENT_DTYPE)
    options = np.zeros(2, np.uint32)
    description = np.zeros(MAX_DESCRIPTION_WORDS, np.int64)
    sockets = np.zeros(DESCRIPTORS, SOCKET_DTYPE)
    sockets["slot"] = UNKNOWN
    vectors["base"] = data.ctypes.data
    vectors["base"][[FROM_ASTERISK, FROM_ASTERISK_WITH_SENDER]] += START
    vectors["bytes"] = MAX_DATAGRAM
    # An answer still has the echo's extension.
    vectors["bytes"][FROM_ECHO] += EXTENSION_BYTES
    vectors["bytes"][STAMP_REPORT] = 0
    messages["vectors"] = vectors.ctypes.data + np.arange(_MESSAGES) * VECTOR_DTYPE.itemsize
    messages["vector_count"] = 1
    messages["control"] = control.ctypes.data
    messages["name"][FROM_ASTERISK_WITH_SENDER] = sender.ctypes.data
    messages["control"][STAMPED_SEND] = request.ctypes.data
    messages["control_bytes"][STAMPED_SEND] = request.nbytes
    media = Media(
        epoll,
        commands,
        np.zeros(slots, CALL_DTYPE),
        np.zeros((slots, MAX_SOURCES), SOURCE_DTYPE),
        np.zeros((slots, MAX_ADDRESS_BYTES), np.uint8),
        sockets,
        np.zeros((DESCRIPTORS, MAX_PENDING), PENDING_DTYPE),
        np.ndarray((slots, HEADER_BYTES // 8), np.int64, memory, 0, (SLOT_BYTES, 8)),
        np.ndarray((slots, ROWS_PER_SLOT), WRITTEN_DTYPE, memory, HEADER_BYTES, (SLOT_BYTES, ROW_BYTES)),
        data,
        data.ctypes.data,
        sender,
        messages,
        messages.ctypes.data,
        vectors,
        control,
        clock,
        clock.ctypes.data,
        np.zeros(2, np.int64),
        options,
        options.ctypes.data,
        events,
        events.ctypes.data,
        np.frombuffer(UNFILLED, np.uint8).copy(),
        request,
        description,
        description.ctypes.data,
    )
    words = described(media)
    description[: len(words)] = words
    return media

"""The memory that datagrams are received into and answered from: allocated once, laid out for recvmmsg and sendmmsg.

Slot `at` of every array belongs to the same datagram. Its bytes stay where they were received; the answer's message
header points at them, so that an answer costs no copy:

    payloads      64 KiB a slot: the largest datagram
    envelopes     the sender's name, the receive stamp, and the control messages beside it
    questions     struct mmsghdr, for receiving        answers      struct mmsghdr, for sending
    into          struct iovec of a whole slot         out_of       struct iovec of what is sent back
                                                       besides      the control messages beside an answer
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence

from rtppool_core.net import udp
from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.messages.ancillary import Item, space_beside, unpacked
from rtppool_echo.rules.socket_name import key_bytes, name_bytes

MAX_DATAGRAMS = 64
SLOT_BYTES = 65_536
MAX_DATAGRAM_BYTES = 65_535
NAME_SPACE = 32
# Behind the name and the header of the first control message.
_STAMP_OFFSET = NAME_SPACE + socket.CMSG_LEN(0)
# struct iovec: base, length.
VECTOR = struct.Struct("=QQ")
# struct mmsghdr on 64 bits, x86-64 and arm64 alike (glibc, musl): name, its length, vectors, their number, control,
# its length, flags, and the datagram's size.
MESSAGE = struct.Struct("=QI4xQQQQi4xI4x")
_SIZE_WORD, _CONTROL_LENGTH_WORD = 14, 5
_UINT32, _UINT64, _UINT16 = 4, 8, 2


class DatagramMemory:
    """Slots for `MAX_DATAGRAMS` datagrams of one socket family; `stamped`: the kernel writes receive stamps."""

    def __init__(self, family: int, *, stamped: bool) -> None:
        beside = space_beside(family)
        self.envelope_bytes = NAME_SPACE + udp.TIMESTAMP_SPACE + beside
        self.beside_bytes = beside
        self.beside_offset = NAME_SPACE + udp.TIMESTAMP_SPACE
        self.name_bytes = name_bytes(family)
        self.stamped = stamped
        self.control_offset = NAME_SPACE if stamped else self.beside_offset
        self.control_bytes = self.envelope_bytes - self.control_offset
        self.payloads = bytearray(MAX_DATAGRAMS * SLOT_BYTES)
        self.envelopes = bytearray(MAX_DATAGRAMS * self.envelope_bytes)
        self.questions = bytearray(MAX_DATAGRAMS * MESSAGE.size)
        self.answers = bytearray(MAX_DATAGRAMS * MESSAGE.size)
        self.answer_sizes = [0] * MAX_DATAGRAMS
        self._besides = bytearray(MAX_DATAGRAMS * beside)
        self._into = bytearray(MAX_DATAGRAMS * VECTOR.size)
        self._out_of = bytearray(MAX_DATAGRAMS * VECTOR.size)
        self._lay_out()
        self._fresh_questions = bytes(self.questions)
        self._question_words = memoryview(self.questions).cast("I")
        self._answer_words = memoryview(self.answers).cast("Q")
        self._out_of_words = memoryview(self._out_of).cast("Q")
        key = key_bytes(family)
        self._envelope = struct.Struct(f"={key}s{self.beside_offset - key}x{beside}s")
        numbers = range(MAX_DATAGRAMS + 1)
        self._envelopes_of = [memoryview(self.envelopes)[: number * self.envelope_bytes] for number in numbers]
        words = MESSAGE.size // _UINT32
        self.sizes_of = [self._question_words[_SIZE_WORD : number * words : words] for number in numbers]
        halves = SLOT_BYTES // _UINT16
        self.kinds_of = [memoryview(self.payloads).cast("H")[: number * halves : halves] for number in numbers]

    def envelopes_of(self, number: int) -> Iterator[tuple[bytes, bytes]]:
        """Of the first `number` slots: the sender's key, and the control messages without the stamp."""
        return self._envelope.iter_unpack(self._envelopes_of[number])

    def received_ns(self, at: int) -> int:
        """The kernel's receive stamp of a slot: wall clock, ns since 1970."""
        seconds, nanoseconds = udp.TIMESPEC.unpack_from(self.envelopes, at * self.envelope_bytes + _STAMP_OFFSET)
        return int(seconds) * NS_PER_SECOND + int(nanoseconds)

    def name(self, at: int) -> bytes:
        """The sender's name in a slot."""
        start = at * self.envelope_bytes
        return bytes(self.envelopes[start : start + self.name_bytes])

    def payload(self, at: int, size: int) -> memoryview:
        """The first `size` bytes of a slot's datagram."""
        start = at * SLOT_BYTES
        return memoryview(self.payloads)[start : start + size]

    def size(self, at: int) -> int:
        """How long the datagram in a slot is."""
        return int(self._question_words[at * MESSAGE.size // _UINT32 + _SIZE_WORD])

    def items_beside(self, at: int) -> list[Item]:
        """The control messages that came with the datagram in a slot, without the stamp."""
        start = at * self.envelope_bytes + self.beside_offset
        return unpacked(bytes(self.envelopes[start : start + self.beside_bytes]))

    def control_is_whole(self, at: int) -> bool:
        """Whether the kernel filled the control messages of a slot to their end."""
        length = memoryview(self.questions).cast("Q")[at * MESSAGE.size // _UINT64 + _CONTROL_LENGTH_WORD]
        return bool(length == self.control_bytes)

    def put_question(self, name: bytes, stamp: bytes, beside: bytes, size: int) -> None:
        """Describe the datagram in slot 0, as the kernel would."""
        envelope = name.ljust(NAME_SPACE, b"\0") + stamp.ljust(udp.TIMESTAMP_SPACE, b"\0") + beside
        self.envelopes[: self.envelope_bytes] = envelope[: self.envelope_bytes].ljust(self.envelope_bytes, b"\0")
        self._question_words[_SIZE_WORD] = size
        length = self.control_bytes if len(envelope) == self.envelope_bytes else 0
        memoryview(self.questions).cast("Q")[_CONTROL_LENGTH_WORD] = length

    def put_size(self, at: int, size: int) -> None:
        """Let the answer in a slot be `size` bytes long."""
        self.answer_sizes[at] = size
        self._out_of_words[2 * at + 1] = size

    def put_beside(self, at: int, beside: bytes) -> None:
        """Let the answer in a slot go with these control messages."""
        start = at * self.beside_bytes
        self._besides[start : start + len(beside)] = beside
        self._answer_words[at * MESSAGE.size // _UINT64 + _CONTROL_LENGTH_WORD] = len(beside)

    def answer(self, at: int) -> memoryview:
        """The bytes of the answer in a slot."""
        return self.payload(at, self.answer_sizes[at])

    def beside(self, at: int) -> bytes:
        """The control messages beside the answer in a slot."""
        start = at * self.beside_bytes
        length = self._answer_words[at * MESSAGE.size // _UINT64 + _CONTROL_LENGTH_WORD]
        return bytes(self._besides[start : start + length])

    def be_ready(self, at: int) -> None:
        """Give the kernel a slot's whole space again, where it had used less."""
        part = slice(at * MESSAGE.size, (at + 1) * MESSAGE.size)
        self.questions[part] = self._fresh_questions[part]

    def answers_of(self, slots: Sequence[int]) -> bytearray:
        """The message headers of some answers, one behind the other."""
        view = memoryview(self.answers)
        return bytearray().join([view[at * MESSAGE.size : (at + 1) * MESSAGE.size] for at in slots])

    def _lay_out(self) -> None:
        payloads, envelopes, besides = address(self.payloads), address(self.envelopes), address(self._besides)
        into, out_of = address(self._into), address(self._out_of)
        for at in range(MAX_DATAGRAMS):
            VECTOR.pack_into(self._into, at * VECTOR.size, payloads + at * SLOT_BYTES, MAX_DATAGRAM_BYTES)
            VECTOR.pack_into(self._out_of, at * VECTOR.size, payloads + at * SLOT_BYTES, 0)
            name = envelopes + at * self.envelope_bytes
            question = (into + at * VECTOR.size, 1, name + self.control_offset, self.control_bytes, 0, 0)
            answer = (out_of + at * VECTOR.size, 1, besides + at * self.beside_bytes, 0, 0, 0)
            MESSAGE.pack_into(self.questions, at * MESSAGE.size, name, self.name_bytes, *question)
            MESSAGE.pack_into(self.answers, at * MESSAGE.size, name, self.name_bytes, *answer)


def address(memory: bytearray) -> int:
    """Where the bytes lie. Nobody may change their number as long as anyone uses this."""
    return ctypes.addressof((ctypes.c_char * len(memory)).from_buffer(memory))

"""Memory of a batch of datagrams and their answers: allocated once, laid out for recvmmsg and sendmmsg.

Slot `at` of every array belongs to the same datagram. The header of an answer points at the bytes of its question, so
that an answer costs no copy:

    payloads      64 KiB a slot, the largest datagram
    envelopes     the sender's name, the receive stamp, and the other ancillary data of the question
    questions     struct mmsghdr, for receiving        answers      struct mmsghdr, for sending
    into          struct iovec of a whole slot         out_of       struct iovec of the bytes sent back
                                                       ancillary    ancillary data of the answer
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence

from rtppool_core.net import udp
from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.messages.ancillary import Item, ancillary_space, unpack_items
from rtppool_echo.messages.socket_name import key_bytes, name_bytes

MAX_DATAGRAMS = 64
SLOT_BYTES = 65_536
MAX_DATAGRAM_BYTES = 65_535
NAME_SPACE = 32
# The stamp follows the name and the header of the first control message.
_STAMP_OFFSET = NAME_SPACE + socket.CMSG_LEN(0)
# struct iovec: base, length.
VECTOR = struct.Struct("=QQ")
# struct mmsghdr on 64 bits, x86-64 and arm64 alike (glibc, musl): name, its length, vectors, their number, control,
# its length, flags, and the datagram's size.
MESSAGE = struct.Struct("=QI4xQQQQi4xI4x")
_SIZE_WORD, _CONTROL_LENGTH_WORD = 14, 5
_UINT32, _UINT64, _UINT16 = 4, 8, 2


class DatagramMemory:
    """Slots for `MAX_DATAGRAMS` datagrams of one socket family. `stamped`: the kernel writes receive stamps."""

    def __init__(self, family: int, *, stamped: bool) -> None:
        ancillary = ancillary_space(family)
        self.envelope_bytes = NAME_SPACE + udp.TIMESTAMP_SPACE + ancillary
        self.ancillary_bytes = ancillary
        self.ancillary_offset = NAME_SPACE + udp.TIMESTAMP_SPACE
        self.name_bytes = name_bytes(family)
        self.stamped = stamped
        self.control_offset = NAME_SPACE if stamped else self.ancillary_offset
        self.control_bytes = self.envelope_bytes - self.control_offset
        self.payloads = bytearray(MAX_DATAGRAMS * SLOT_BYTES)
        self.envelopes = bytearray(MAX_DATAGRAMS * self.envelope_bytes)
        self.questions = bytearray(MAX_DATAGRAMS * MESSAGE.size)
        self.answers = bytearray(MAX_DATAGRAMS * MESSAGE.size)
        self.answer_sizes = [0] * MAX_DATAGRAMS
        self.answers_ancillary = bytearray(MAX_DATAGRAMS * ancillary)
        self._into = bytearray(MAX_DATAGRAMS * VECTOR.size)
        self._out_of = bytearray(MAX_DATAGRAMS * VECTOR.size)
        self._lay_out()
        self._fresh_questions = bytes(self.questions)
        by_quads = memoryview(self.questions).cast("Q")
        self.control_lengths = by_quads[_CONTROL_LENGTH_WORD :: MESSAGE.size // _UINT64]
        self._question_words = memoryview(self.questions).cast("I")
        self._answer_words = memoryview(self.answers).cast("Q")
        self._out_of_words = memoryview(self._out_of).cast("Q")
        key = key_bytes(family)
        self._envelope = struct.Struct(f"={key}s{self.ancillary_offset - key}x{ancillary}s")
        numbers = range(MAX_DATAGRAMS + 1)
        self._envelopes_of = [memoryview(self.envelopes)[: number * self.envelope_bytes] for number in numbers]
        words = MESSAGE.size // _UINT32
        self.sizes_of = [self._question_words[_SIZE_WORD : number * words : words] for number in numbers]
        halves = SLOT_BYTES // _UINT16
        self.kinds_of = [memoryview(self.payloads).cast("H")[: number * halves : halves] for number in numbers]

    def envelopes_of(self, number: int) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the first `number` slots: the sender's key, and the ancillary data without the stamp."""
        return self._envelope.iter_unpack(self._envelopes_of[number])

    def received_ns(self, at: int) -> int:
        """Return the kernel's receive stamp of a slot: wall clock, ns since 1970."""
        seconds, nanoseconds = udp.TIMESPEC.unpack_from(self.envelopes, at * self.envelope_bytes + _STAMP_OFFSET)
        return int(seconds) * NS_PER_SECOND + int(nanoseconds)

    def name(self, at: int) -> bytes:
        """Return the sender's name in a slot."""
        start = at * self.envelope_bytes
        return bytes(self.envelopes[start : start + self.name_bytes])

    def payload(self, at: int, size: int) -> memoryview:
        """Return the first `size` bytes of a slot's datagram."""
        start = at * SLOT_BYTES
        return memoryview(self.payloads)[start : start + size]

    def size(self, at: int) -> int:
        """Return the length of the datagram in a slot."""
        return int(self._question_words[at * MESSAGE.size // _UINT32 + _SIZE_WORD])

    def received_items(self, at: int) -> list[Item]:
        """Return the ancillary data of the datagram in a slot, without the stamp."""
        start = at * self.envelope_bytes + self.ancillary_offset
        return unpack_items(bytes(self.envelopes[start : start + self.ancillary_bytes]))

    def control_is_whole(self, at: int) -> bool:
        """Return whether the kernel filled the ancillary data of a slot to its end."""
        return bool(self.control_lengths[at] == self.control_bytes)

    def put_question(self, name: bytes, stamp: bytes, ancillary: bytes, size: int) -> None:
        """Describe the datagram in slot 0, as recvmmsg does."""
        envelope = name.ljust(NAME_SPACE, b"\0") + stamp.ljust(udp.TIMESTAMP_SPACE, b"\0") + ancillary
        self.envelopes[: self.envelope_bytes] = envelope[: self.envelope_bytes].ljust(self.envelope_bytes, b"\0")
        self._question_words[_SIZE_WORD] = size
        length = self.control_bytes if len(envelope) == self.envelope_bytes else 0
        self.control_lengths[0] = length

    def put_size(self, at: int, size: int) -> None:
        """Set the length of the answer in a slot."""
        self.answer_sizes[at] = size
        self._out_of_words[2 * at + 1] = size

    def put_ancillary(self, at: int, ancillary: bytes) -> None:
        """Set the ancillary data of the answer in a slot."""
        start = at * self.ancillary_bytes
        self.answers_ancillary[start : start + len(ancillary)] = ancillary
        self._answer_words[at * MESSAGE.size // _UINT64 + _CONTROL_LENGTH_WORD] = len(ancillary)

    def answer(self, at: int) -> memoryview:
        """Return the bytes of the answer in a slot."""
        return self.payload(at, self.answer_sizes[at])

    def ancillary(self, at: int) -> bytes:
        """Return the ancillary data of the answer in a slot."""
        start = at * self.ancillary_bytes
        length = self._answer_words[at * MESSAGE.size // _UINT64 + _CONTROL_LENGTH_WORD]
        return bytes(self.answers_ancillary[start : start + length])

    def reset(self, at: int) -> None:
        """Give the kernel a slot's whole space again after it used less."""
        part = slice(at * MESSAGE.size, (at + 1) * MESSAGE.size)
        self.questions[part] = self._fresh_questions[part]

    def answers_of(self, slots: Sequence[int]) -> bytearray:
        """Return the message headers of the answers in `slots`, in a row."""
        view = memoryview(self.answers)
        return bytearray().join([view[at * MESSAGE.size : (at + 1) * MESSAGE.size] for at in slots])

    def _lay_out(self) -> None:
        payloads, envelopes, ancillary = (
            address(self.payloads),
            address(self.envelopes),
            address(self.answers_ancillary),
        )
        into, out_of = address(self._into), address(self._out_of)
        for at in range(MAX_DATAGRAMS):
            VECTOR.pack_into(self._into, at * VECTOR.size, payloads + at * SLOT_BYTES, MAX_DATAGRAM_BYTES)
            VECTOR.pack_into(self._out_of, at * VECTOR.size, payloads + at * SLOT_BYTES, 0)
            name = envelopes + at * self.envelope_bytes
            question = (into + at * VECTOR.size, 1, name + self.control_offset, self.control_bytes, 0, 0)
            answer = (out_of + at * VECTOR.size, 1, ancillary + at * self.ancillary_bytes, 0, 0, 0)
            MESSAGE.pack_into(self.questions, at * MESSAGE.size, name, self.name_bytes, *question)
            MESSAGE.pack_into(self.answers, at * MESSAGE.size, name, self.name_bytes, *answer)


def address(memory: bytearray) -> int:
    """Return the address of the bytes. It is valid as long as their number does not change."""
    return ctypes.addressof((ctypes.c_char * len(memory)).from_buffer(memory))

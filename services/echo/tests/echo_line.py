"""The code of a reflecting process over datagrams of a test: the kernel's part is played by the test."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from control_messages import INTEGER, Item, pack_items, pktinfo
from senders import name_bytes

from rtppool_core.net import udp
from rtppool_echo.messages.datagram_memory import (
    BASE,
    CONTROL_BYTES,
    ENVELOPE_WORDS,
    LENGTH,
    MESSAGE_WORDS,
    NAME_WORDS,
    SIZE,
    SLOT_BYTES,
    VECTOR_WORDS,
    WORD_BYTES,
)
from rtppool_echo.reflector import entry_points
from rtppool_echo.reflector.attendant import Attendant
from rtppool_echo.reflector.memory import ANSWERS, NEW_SENDERS, ReflectorMemory, Rules
from rtppool_echo.workers.counters import WORD_OF_REASON, WORDS

NO_DESCRIPTOR = -1
STAMP_SECONDS = 1_700_000_000
OWN_PORT = 4000
Datagram = tuple[bytes, tuple[str, int], Sequence[Item]]


def ancillary(ttl: int = 64, tos: int = 0xB8) -> list[Item]:
    return [
        pktinfo(1, "127.0.0.1", "127.0.0.1"),
        (socket.IPPROTO_IP, socket.IP_TTL, INTEGER.pack(ttl)),
        (socket.IPPROTO_IP, socket.IP_TOS, bytes([tos])),
    ]


class EchoLine:
    """Memory of a reflecting process on an IPv4 socket, and its code in one of its forms."""

    def __init__(self, rules: Rules | None = None, *, stamped: bool = True, code: Any = entry_points) -> None:
        self.code = code
        self.words = memoryview(bytearray(WORDS * WORD_BYTES)).cast("Q")
        rules = rules or Rules(OWN_PORT)
        self.memory = ReflectorMemory(NO_DESCRIPTOR, socket.AF_INET, self.words, rules, stamped=stamped)
        self.host_ns: int | None = None
        self.asked_for_ns: list[int] = []
        self.attendant = Attendant(self.memory, self._host_time)
        self.stamp_ns = STAMP_SECONDS * 10**9 + 5
        # An hour for each batch, so that no packet is repeated and each limit has its tokens again.
        self.now_ns, self.pause_ns = 10**15, 3600 * 10**9

    def answers(self, datagrams: Sequence[Datagram], sent_ns: int) -> list[bytes]:
        """The bytes of the answers to a batch that leaves at `sent_ns`."""
        for at, datagram in enumerate(datagrams):
            self._put(at, *datagram)
        self.now_ns += self.pause_ns
        self.code.judge(self.memory.address, len(datagrams), self.now_ns)
        if self.code.fill_waiting(self.memory.address, sent_ns) or self.memory.array("state")[NEW_SENDERS]:
            self.attendant.attend()
        return [self._answer(place) for place in range(self.memory.array("state")[ANSWERS])]

    def dropped(self) -> dict[str, int]:
        return {reason: self.words[word] for reason, word in WORD_OF_REASON.items() if self.words[word]}

    def _put(self, at: int, datagram: bytes, sender: tuple[str, int], items: Sequence[Item]) -> None:
        memory = self.memory
        stamp = (socket.SOL_SOCKET, udp.SO_TIMESTAMPNS, udp.TIMESPEC.pack(*divmod(self.stamp_ns, 10**9)))
        control = pack_items([stamp, *items] if memory.stamped else items)
        memory.array("payloads")[at * SLOT_BYTES : at * SLOT_BYTES + len(datagram)] = datagram
        room = (ENVELOPE_WORDS - NAME_WORDS) * WORD_BYTES
        start = at * ENVELOPE_WORDS * WORD_BYTES
        envelope = (name_bytes(*sender) + control[:room]).ljust(ENVELOPE_WORDS * WORD_BYTES, b"\0")
        memory.array("envelopes").cast("B")[start : start + len(envelope)] = envelope
        memory.array("questions")[at * MESSAGE_WORDS + SIZE] = len(datagram)
        memory.array("questions")[at * MESSAGE_WORDS + CONTROL_BYTES] = len(control)

    def _answer(self, place: int) -> bytes:
        vector = self.memory.array("out_of")[place * VECTOR_WORDS : (place + 1) * VECTOR_WORDS]
        start = vector[BASE] - self.memory.array("into")[BASE]
        return bytes(self.memory.array("payloads")[start : start + vector[LENGTH]])

    def _host_time(self, span_ns: int) -> int | None:
        self.asked_for_ns.append(span_ns)
        return self.host_ns if self.host_ns is None else min(span_ns, self.host_ns)

"""The memory of a reflecting process: settings, tables, a batch of datagrams, and the counters that it shares.

Compiled code gets all of it as one tuple of arrays and numbers (`Reflector`). It is laid out with neither numpy nor
numba, so that an image needs neither. The kernel gives memory at the first use of a page: unused tables cost nothing.
"""

from __future__ import annotations

import mmap
import select
import socket
from dataclasses import dataclass
from typing import Any, NamedTuple

from rtppool_core.compiled.library import address_of
from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.messages.ancillary import ancillary_space
from rtppool_echo.messages.answer_ancillary import AS_RECEIVED
from rtppool_echo.messages.datagram_memory import (
    ANCILLARY_WORDS,
    BASE,
    CONTROL,
    CONTROL_BYTES,
    ENVELOPE_WORDS,
    LENGTH,
    MAX_DATAGRAM_BYTES,
    MAX_DATAGRAMS,
    MESSAGE_WORDS,
    NAME,
    NAME_BYTES,
    NAME_WORDS,
    SLOT_BYTES,
    STAMP_WORD,
    VECTOR_COUNT,
    VECTOR_WORDS,
    VECTORS,
    WORD_BYTES,
)
from rtppool_echo.rules.rate_limit import packet_cost_ns
from rtppool_echo.rules.received_counts import MAX_STREAMS
from rtppool_echo.rules.recent_answers import RECENT_WORDS
from rtppool_echo.rules.sender_limits import ADDRESS_STEP_NS, LIMITS_WORDS, MAX_SENDERS, OWN_PORT, STEP_NS
from rtppool_echo.rules.sender_table import KEY_WORDS, begin_table, table_words
from rtppool_echo.rules.source_rules import Network, networks_in_words
from rtppool_echo.socket_name import NAME_V4_BYTES, NAME_V6_BYTES

# Results of `reflect`: nothing arrived in time; the batch waits for `attend` and `answer`; there may be more at once.
IDLE, ATTEND, BUSY = range(3)
# Of arrays in `Reflector`: 64-bit words and bytes.
Words = Any
Bytes = Any
# Words of `state`: the datagrams of the batch, their answers, those with an extension to fill, new senders of this
# machine; then the time of the batch's departure, the host time's field of an ordinary packet and when it was read,
# and the batches of one datagram since the last system call for several.
RECEIVED, ANSWERS, WAITING, NEW_SENDERS, SENT_NS, ORDINARY_HOST, HOST_CHECKED_NS, SINGLES = range(8)
STATE_WORDS = 8
# Words of a waiting packet: its slot and its count.
WAITING_WORDS = 2
_CACHE_LINE = 64


class Reflector(NamedTuple):
    """All memory of a reflecting process, as compiled code gets it."""

    descriptor: int
    rtp_only: int
    stamped: int
    dscp: int
    ancillary_bytes: int  # of each question
    name_bytes: int
    counters: Words
    state: Words
    limits: Words
    networks: Words
    senders: Words
    addresses: Words
    recent: Words
    streams: Words
    stream_key: Words
    payloads: Bytes
    envelopes: Words
    questions: Words
    answers: Words
    into: Words
    out_of: Words
    answer_ancillary: Words
    waiting: Words
    new_senders: Words  # their slots
    clock: Words
    room: Words  # a struct pollfd: whether the socket can send


# The fields that are numbers, and the arrays of bytes.
NUMBERS = Reflector._fields[: Reflector._fields.index("counters")]
BYTE_ARRAYS = ("payloads",)


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of a reflecting process. With `dscp` None an answer carries the TOS of its question."""

    own_port: int
    allow: tuple[Network, ...] = ()
    dscp: int | None = None
    rate: int = 0
    rate_per_address: int = 0
    rtp_only: bool = True


class ReflectorMemory:
    """The memory of a process that answers on a socket, and `address`, the place of its description.

    `counters` are the process's words of the shared memory. `stamped`: the kernel writes receive stamps.
    """

    def __init__(self, descriptor: int, family: int, counters: memoryview, rules: Rules, *, stamped: bool) -> None:
        networks = networks_in_words(rules.allow)
        words = {
            "state": STATE_WORDS,
            "limits": LIMITS_WORDS,
            "networks": len(networks),
            "senders": table_words(MAX_SENDERS),
            "addresses": table_words(MAX_SENDERS),
            "recent": RECENT_WORDS,
            "streams": table_words(MAX_STREAMS),
            "stream_key": KEY_WORDS,
            "payloads": MAX_DATAGRAMS * SLOT_BYTES // WORD_BYTES,
            "envelopes": MAX_DATAGRAMS * ENVELOPE_WORDS,
            "questions": MAX_DATAGRAMS * MESSAGE_WORDS,
            "answers": MAX_DATAGRAMS * MESSAGE_WORDS,
            "into": MAX_DATAGRAMS * VECTOR_WORDS,
            "out_of": MAX_DATAGRAMS * VECTOR_WORDS,
            "answer_ancillary": MAX_DATAGRAMS * ANCILLARY_WORDS,
            "waiting": MAX_DATAGRAMS * WAITING_WORDS,
            "new_senders": MAX_DATAGRAMS,
            "clock": 2,
            "room": 1,
        }
        self.counters = counters.cast("B").cast("q")
        self._arrays = {"counters": self.counters, **_lay_out(words)}
        self.stamped = stamped
        self.name_bytes = NAME_V6_BYTES if family == socket.AF_INET6 else NAME_V4_BYTES
        self.ancillary_bytes = ancillary_space(family, stamped=stamped)
        self._begin(descriptor, rules, networks)
        self._description = self._describe(descriptor, rules)
        self.address = address_of(self._description)

    def array(self, name: str) -> memoryview:
        """Return an array of `Reflector`."""
        return self._arrays[name]

    def received_ns(self, at: int) -> int:
        """Return the kernel's receive stamp of a slot: wall clock, ns since 1970."""
        seconds, nanoseconds = self.array("envelopes")[(stamp := at * ENVELOPE_WORDS + STAMP_WORD) : stamp + 2]
        return int(seconds) * NS_PER_SECOND + int(nanoseconds)

    def _begin(self, descriptor: int, rules: Rules, networks: list[int]) -> None:
        limits = self.array("limits")
        limits[OWN_PORT] = rules.own_port
        limits[STEP_NS], limits[ADDRESS_STEP_NS] = packet_cost_ns(rules.rate), packet_cost_ns(rules.rate_per_address)
        for at, word in enumerate(networks):
            self.array("networks")[at] = word
        begin_table(self.array("senders"), MAX_SENDERS)
        begin_table(self.array("addresses"), MAX_SENDERS)
        begin_table(self.array("streams"), MAX_STREAMS)
        self.array("room")[0] = descriptor | select.POLLOUT << 32
        questions, answers = self.array("questions"), self.array("answers")
        for at in range(MAX_DATAGRAMS):
            name = self._address("envelopes", at * ENVELOPE_WORDS)
            into, out_of = (self._address(vectors, at * VECTOR_WORDS) for vectors in ("into", "out_of"))
            self.array("into")[at * VECTOR_WORDS + BASE] = self._address("payloads") + at * SLOT_BYTES
            self.array("into")[at * VECTOR_WORDS + LENGTH] = MAX_DATAGRAM_BYTES
            for messages, vector in ((questions, into), (answers, out_of)):
                message = at * MESSAGE_WORDS
                messages[message + NAME], messages[message + NAME_BYTES] = name, self.name_bytes
                messages[message + VECTORS], messages[message + VECTOR_COUNT] = vector, 1
            questions[at * MESSAGE_WORDS + CONTROL] = name + NAME_WORDS * WORD_BYTES
            questions[at * MESSAGE_WORDS + CONTROL_BYTES] = self.ancillary_bytes
            answers[at * MESSAGE_WORDS + CONTROL] = self._address("answer_ancillary", at * ANCILLARY_WORDS)

    def _describe(self, descriptor: int, rules: Rules) -> memoryview:
        """Return the words of `Reflector`: numbers, and address, length and step of each array."""
        numbers = {
            "descriptor": descriptor,
            "rtp_only": int(rules.rtp_only),
            "stamped": int(self.stamped),
            "dscp": AS_RECEIVED if rules.dscp is None else rules.dscp,
            "ancillary_bytes": self.ancillary_bytes,
            "name_bytes": self.name_bytes,
        }
        words: list[int] = []
        for name in Reflector._fields:
            if name in numbers:
                words.append(numbers[name])
            else:
                array = self.array(name)
                words += (address_of(array), len(array), array.itemsize)
        return _filled(words)

    def _address(self, name: str, at: int = 0) -> int:
        return address_of(self.array(name)) + at * WORD_BYTES


def _lay_out(words: dict[str, int]) -> dict[str, memoryview]:
    """Return arrays of so many words in one memory of zeros, each from a cache line on."""
    line = _CACHE_LINE // WORD_BYTES
    sizes = {name: -(-count // line) * line for name, count in words.items()}
    memory = memoryview(mmap.mmap(-1, sum(sizes.values()) * WORD_BYTES)).cast("q")
    arrays: dict[str, memoryview] = {}
    start = 0
    for name, size in sizes.items():
        array = memory[start : start + words[name]]
        arrays[name] = array.cast("B") if name in BYTE_ARRAYS else array
        start += size
    return arrays


def _filled(words: list[int]) -> memoryview:
    array = memoryview(bytearray(len(words) * WORD_BYTES)).cast("q")
    for at, word in enumerate(words):
        array[at] = word
    return array

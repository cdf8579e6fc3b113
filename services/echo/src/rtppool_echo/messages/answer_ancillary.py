"""Ancillary data of answers, from templates by the ancillary data of their questions without hop limit and TOS.

A sender may change hop limit and TOS with every packet, at no cost to the others: both are copied into the template of
its destination. Templates differ by the destination address alone.

The kernel writes control messages of the same kinds and lengths for every datagram of a socket. The lengths in a slot's
header therefore stay correct without a reset for each datagram. They are checked when the messages change.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from rtppool_echo.messages.ancillary import (
    HOPS_AND_TOS_SPACE,
    INTEGER,
    MAX_ANSWERED_HOPS,
    Item,
    build_answer,
    has_usual_order,
    pack_items,
    unpack_items,
)
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAMS, DatagramMemory
from rtppool_echo.rules.refusals import REASON_DESTINATION, REASON_HOP_LIMIT

# One template for each destination. A sender that varies it must not fill the memory.
MAX_CACHED = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """`start` and `tos_header` of a question's messages, and of its answer's. `tos` None: the received one.

    `refusal` is the reason to refuse such questions.
    """

    start: bytes
    tos_header: bytes
    answer_start: bytes = b""
    tos: bytes | None = None
    refusal: str | None = None


NO_TEMPLATE = Template(b"", b"")


class AnswerAncillary:
    """`current[at]` is the ancillary data of the question that the answer in slot `at` is prepared for."""

    def __init__(self, memory: DatagramMemory, dscp: int | None) -> None:
        self.current = [b""] * MAX_DATAGRAMS
        self._memory = memory
        self._dscp = dscp
        # Up to the hop limit's value: the destination, and the header of the hop limit.
        header = socket.CMSG_LEN(0)
        self._hops_offset = memory.ancillary_bytes - HOPS_AND_TOS_SPACE + header
        self._parts = struct.Struct(f"={self._hops_offset}si4x{header}s{INTEGER.size}s4x")
        self._hops_and_tos = struct.Struct(f"=i4x{header}s{INTEGER.size}s4x")
        # By destination and by the header of the TOS. None: the messages have another order.
        self._templates: dict[tuple[bytes, bytes], Template | None] = {}
        self._latest = NO_TEMPLATE
        self._prepared = [NO_TEMPLATE] * MAX_DATAGRAMS

    def __len__(self) -> int:
        """Return the number of templates."""
        return len(self._templates)

    def refusal(self, at: int, received: bytes) -> str | None:
        """Prepare the answer in slot `at` to a question with this ancillary data, or return the reason to refuse it."""
        memory, template = self._memory, self._latest
        if memory.control_lengths[at] != memory.control_bytes:
            memory.reset(at)
            return REASON_DESTINATION
        start, hops, tos_header, tos = self._parts.unpack(received)
        if start != template.start or tos_header != template.tos_header:
            found = self._template(received)
            if found is None:
                return self._prepare_in_any_order(at, received)
            self._latest = template = found
        if template.refusal is not None:
            return template.refusal
        if hops <= 1:
            return REASON_HOP_LIMIT
        if self._prepared[at] is not template:
            memory.put_ancillary(at, self._parts.pack(template.answer_start, 0, tos_header, tos))
            self._prepared[at] = template
        hops = min(hops, MAX_ANSWERED_HOPS)
        place = at * memory.ancillary_bytes + self._hops_offset
        self._hops_and_tos.pack_into(memory.answers_ancillary, place, hops - 1, tos_header, template.tos or tos)
        self.current[at] = received
        return None

    def _template(self, received: bytes) -> Template | None:
        """Return the template of a question; None for messages in another order."""
        start, _, tos_header, tos = self._parts.unpack(received)
        key = start, tos_header
        if key not in self._templates:
            if len(self._templates) >= MAX_CACHED:
                self._templates.clear()
            items = unpack_items(self._parts.pack(start, MAX_ANSWERED_HOPS, tos_header, tos))
            self._templates[key] = self._make_template(key, items) if has_usual_order(items) else None
        return self._templates[key]

    def _make_template(self, key: tuple[bytes, bytes], items: list[Item]) -> Template:
        answer = build_answer(items, self._dscp)
        if isinstance(answer, str):
            return Template(*key, refusal=answer)
        start, _, _, tos = self._parts.unpack(pack_items(answer))
        return Template(*key, start, None if self._dscp is None else tos)

    def _prepare_in_any_order(self, at: int, received: bytes) -> str | None:
        answer = build_answer(unpack_items(received), self._dscp)
        if isinstance(answer, str):
            return answer
        self._memory.put_ancillary(at, pack_items(answer))
        self._prepared[at] = NO_TEMPLATE
        self.current[at] = received
        return None

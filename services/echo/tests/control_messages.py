"""Control messages as bytes and items, and the model of an answer's: the rules of RFC 3542 in plain Python."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

import numpy as np

from rtppool_core.net import udp
from rtppool_echo.messages import answer_ancillary
from rtppool_echo.messages.answer_ancillary import AS_RECEIVED
from rtppool_echo.reflector.compiled import compiled
from rtppool_echo.rules.refusals import NOT_REFUSED, REASONS

Item = tuple[int, int, bytes]

PKTINFO_V4 = struct.Struct("=i4s4s")
PKTINFO_V6 = struct.Struct("=16si")
INTEGER = struct.Struct("=i")
# struct cmsghdr on 64 bits: length including this header, level, type. Data follows, padded to 8 bytes.
HEADER = struct.Struct("=Qii")
TOS_KINDS = {(socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, udp.IPV6_TCLASS)}
HOPS_KINDS = {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}
ROOM_WORDS = 64
_build = compiled(answer_ancillary.build_answer)


def pktinfo(interface: int, answer_from: str, sent_to: str) -> Item:
    data = PKTINFO_V4.pack(interface, socket.inet_aton(answer_from), socket.inet_aton(sent_to))
    return socket.IPPROTO_IP, udp.IP_PKTINFO, data


def pktinfo_v6(sent_to: str, interface: int) -> Item:
    return socket.IPPROTO_IPV6, udp.IPV6_PKTINFO, PKTINFO_V6.pack(socket.inet_pton(socket.AF_INET6, sent_to), interface)


def hops(number: int, level: int = socket.IPPROTO_IP, kind: int = socket.IP_TTL) -> Item:
    return level, kind, INTEGER.pack(number)


def pack_items(items: Iterable[Item]) -> bytes:
    """Lay out control messages as the kernel does."""
    parts = [
        HEADER.pack(HEADER.size + len(data), level, kind) + data + bytes(-len(data) % 8) for level, kind, data in items
    ]
    return b"".join(parts)


def unpack_items(control: bytes) -> list[Item]:
    items: list[Item] = []
    at = 0
    while at + HEADER.size <= len(control):
        length, level, kind = HEADER.unpack_from(control, at)
        items.append((level, kind, control[at + HEADER.size : at + length]))
        at += length + -length % 8
    return items


def answer_of(received: Iterable[Item], dscp: int | None = None) -> list[Item] | str:
    """The compiled answer to ancillary data, or the reason to refuse it."""
    packed = pack_items(received)
    words, answer = np.zeros(ROOM_WORDS, np.int64), np.zeros(ROOM_WORDS, np.int64)
    words[: len(packed) // 8] = np.frombuffer(packed, np.int64)
    as_number = AS_RECEIVED if dscp is None else dscp
    refusal, octets = _build(words, 0, len(packed) // 8, answer, 0, as_number)
    return unpack_items(answer.tobytes()[:octets]) if refusal == NOT_REFUSED else REASONS[refusal]


def model_answer(received: Iterable[Item], dscp: int | None) -> list[Item] | str:
    answer: list[Item] = []
    remaining = 0
    for level, kind, data in received:
        if (level, kind) == (socket.IPPROTO_IP, udp.IP_PKTINFO) and len(data) == PKTINFO_V4.size:
            _, answer_from, sent_to = PKTINFO_V4.unpack(data)
            if answer_from != sent_to:
                return "destination"
            item = PKTINFO_V4.pack(0, answer_from, bytes(4))
        elif (level, kind) == (socket.IPPROTO_IPV6, udp.IPV6_PKTINFO) and len(data) == PKTINFO_V6.size:
            sent_to, interface = PKTINFO_V6.unpack(data)
            mapped = sent_to[:12] == bytes(10) + b"\xff\xff"
            if sent_to[0] == 0xFF or (mapped and (224 <= sent_to[12] <= 239 or sent_to[12:] == b"\xff" * 4)):
                return "destination"
            item = PKTINFO_V6.pack(sent_to, interface if sent_to[0] == 0xFE and sent_to[1] & 0xC0 == 0x80 else 0)
        elif (level, kind) in HOPS_KINDS and len(data) == INTEGER.size:
            remaining = min(INTEGER.unpack(data)[0], 64) - 1
            item = INTEGER.pack(remaining)
        elif (level, kind) in TOS_KINDS and len(data) in {1, INTEGER.size}:
            item = data if dscp is None else (dscp << 2).to_bytes(len(data), "little")
        else:
            continue
        answer.append((level, kind, item))
    return answer if remaining > 0 else "hop_limit"

from __future__ import annotations

import socket
import struct

import pytest

from rtppool_core.net import udp
from rtppool_echo.messages.ancillary import Item, pack_items, unpack_items
from rtppool_echo.messages.answer_ancillary import MAX_CACHED, AnswerAncillary
from rtppool_echo.messages.datagram_memory import DatagramMemory
from rtppool_echo.messages.socket_name import name_of

HERE = socket.inet_aton("127.0.0.1")
IPV6_HERE = socket.inet_pton(socket.AF_INET6, "2001:db8::1")


def ipv4(hops: int, tos: int, here: bytes = HERE, asked: bytes | None = None) -> list[Item]:
    return [
        (socket.IPPROTO_IP, udp.IP_PKTINFO, struct.pack("=i", 1) + here + (asked or here)),
        (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", hops)),
        (socket.IPPROTO_IP, socket.IP_TOS, bytes([tos])),
    ]


def ipv6(hops: int, tos: int) -> list[Item]:
    return [
        (socket.IPPROTO_IPV6, udp.IPV6_PKTINFO, IPV6_HERE + struct.pack("=i", 1)),
        (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("=i", hops)),
        (socket.IPPROTO_IPV6, udp.IPV6_TCLASS, struct.pack("=i", tos)),
    ]


def mapped(hops: int, tos: int) -> list[Item]:
    return [*ipv6(hops, tos)[:1], *ipv4(hops, tos)[1:]]


class Slot:
    """Slot 0 of a memory, filled with the ancillary data of one question after another."""

    def __init__(self, family: int, dscp: int | None = None) -> None:
        self.memory = DatagramMemory(family, stamped=False)
        self.answers = AnswerAncillary(self.memory, dscp)
        name = ("127.0.0.1", 10_000) if family == socket.AF_INET else ("2001:db8::2", 10_000, 0, 0)
        self._name = name_of(name)

    def answer(self, items: list[Item]) -> list[Item] | str:
        received = pack_items(items)
        self.memory.put_question(self._name, b"", received, 12)
        refusal = self.answers.refusal(0, received)
        return refusal or unpack_items(self.memory.ancillary(0))


def values(answer: list[Item] | str) -> tuple[int, int]:
    """The hop limit and the TOS of an answer."""
    assert not isinstance(answer, str)
    _, (_, _, hops), (_, _, tos) = answer
    return int(struct.unpack("=i", hops)[0]), tos[0]


@pytest.mark.parametrize(
    ("family", "make"), [(socket.AF_INET, ipv4), (socket.AF_INET6, ipv6), (socket.AF_INET6, mapped)]
)
def test_every_hop_limit_and_tos_has_the_right_answer_from_one_template(family: int, make: object) -> None:
    assert callable(make)
    slot = Slot(family)
    for hops in (255, 64, 63, 2):
        for tos in (0, 0xB8, 0xFF, 4):
            assert values(slot.answer(make(hops, tos))) == (min(hops, 64) - 1, tos)
    assert len(slot.answers) == 1


def test_the_senders_of_both_families_of_a_dual_stack_socket_alternate() -> None:
    slot = Slot(socket.AF_INET6)
    for hops in (9, 8, 7):
        for each in (ipv6, mapped):
            answer = slot.answer(each(hops, 0xB8))
            assert values(answer) == (hops - 1, 0xB8)
            assert [item[:2] for item in answer] == [item[:2] for item in each(1, 1)]  # type: ignore[union-attr]


def test_the_dscp_of_the_settings_replaces_every_tos() -> None:
    for family, make in ((socket.AF_INET, ipv4), (socket.AF_INET6, ipv6), (socket.AF_INET6, mapped)):
        slot = Slot(family, dscp=46)
        assert [values(slot.answer(make(64, tos))) for tos in (0, 255)] == [(63, 46 << 2)] * 2


@pytest.mark.parametrize("hops", [1, 0])
def test_a_question_without_a_hop_left_is_refused_and_the_next_one_answered(hops: int) -> None:
    slot = Slot(socket.AF_INET)
    assert slot.answer(ipv4(hops, 0)) == "hop_limit"
    assert values(slot.answer(ipv4(2, 0))) == (1, 0)
    assert slot.answer(ipv4(hops, 0)) == "hop_limit"


def test_a_broadcast_is_refused_with_any_hop_limit_and_its_neighbour_answered() -> None:
    slot = Slot(socket.AF_INET)
    broadcast = socket.inet_aton("192.0.2.255")
    for hops in (64, 1, 9):
        assert slot.answer(ipv4(hops, 0, asked=broadcast)) == "destination"
        assert values(slot.answer(ipv4(64, hops))) == (63, hops)


def test_messages_in_another_order_are_answered_as_well() -> None:
    slot = Slot(socket.AF_INET)
    pktinfo, hops, tos = ipv4(64, 0xB8)
    answer = slot.answer([tos, hops, pktinfo])
    assert not isinstance(answer, str)
    assert answer[1] == (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("=i", 63))
    assert slot.answer([tos, (*hops[:2], struct.pack("=i", 1)), pktinfo]) == "hop_limit"
    assert values(slot.answer(ipv4(5, 7))) == (4, 7)


def test_the_addresses_asked_do_not_fill_the_memory() -> None:
    slot = Slot(socket.AF_INET)
    for number in range(3 * MAX_CACHED):
        here = struct.pack("!I", 0x7F000001 + number)
        answer = slot.answer(ipv4(64, 0, here=here))
        assert not isinstance(answer, str)
        assert answer[0][2][4:8] == here
        assert len(slot.answers) <= MAX_CACHED

"""Both ways to the kernel, by the batch and one by one, held to the same on real sockets."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rtppool_echo.messages import batch as batch_messages
from rtppool_echo.messages.ancillary import build_answer, pack_items
from rtppool_echo.messages.batch import BatchMessages, self_test
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAMS, DatagramMemory
from rtppool_echo.messages.single import SingleMessages
from rtppool_echo.messages.socket_name import name_of
from rtppool_echo.workers.process import has_stamps, set_receive_timeout
from rtppool_echo.workers.sockets import bind_sockets

WAYS = pytest.mark.parametrize("way", [BatchMessages, SingleMessages])
FAMILIES = pytest.mark.parametrize(
    ("bound", "mine"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")],
    ids=["v4", "v6", "dual-v6", "dual-v4"],
)
Way = type[BatchMessages] | type[SingleMessages]


@contextlib.contextmanager
def echo_and_client(bound: str, mine: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    (echo,) = bind_sockets(bound, 0, 1)
    family = socket.AF_INET6 if ":" in mine else socket.AF_INET
    with echo, socket.socket(family, socket.SOCK_DGRAM) as client:
        client.bind((mine, 0))
        client.settimeout(30)
        client.connect((mine, echo.getsockname()[1]))
        set_receive_timeout(echo, 5)
        yield echo, client


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_this_system_can_use_batches(family: int) -> None:
    assert self_test(family) is None


def test_a_library_without_the_calls_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        recvmmsg = None

    monkeypatch.setattr(ctypes, "PyDLL", lambda _name: Bare())
    reason = self_test(socket.AF_INET)
    assert reason is not None
    assert "the C library has no recvmmsg and sendmmsg" in reason


def test_calls_that_do_nothing_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Idle:
        recvmmsg = staticmethod(lambda *_words: -1)
        sendmmsg = staticmethod(lambda *_words: -1)

    monkeypatch.setattr(batch_messages.ctypes, "PyDLL", lambda _name: Idle())
    assert self_test(socket.AF_INET) == "recvmmsg returned -1 of 2 datagrams"


@FAMILIES
@WAYS
def test_a_datagram_is_described_as_the_kernel_gave_it_and_its_answer_arrives(way: Way, bound: str, mine: str) -> None:
    with echo_and_client(bound, mine) as (echo, client):
        memory = DatagramMemory(echo.family, stamped=has_stamps(echo))
        messages = way(echo, memory)
        for payload in (b"first", b"", b"x" * 65_507):
            client.send(payload)
            assert messages.receive() == 1
            assert memory.size(0) == len(payload)
            assert memory.payload(0, len(payload)) == payload
            assert memory.control_is_whole(0)
            answer = build_answer(memory.received_items(0), None)
            assert not isinstance(answer, str)
            memory.put_size(0, len(payload))
            memory.put_ancillary(0, pack_items(answer))
            assert messages.send_first(1, socket.MSG_DONTWAIT) == 1
            assert client.recv(65_535) == payload


@FAMILIES
def test_both_ways_describe_a_datagram_with_the_same_bytes(bound: str, mine: str) -> None:
    described = []
    with echo_and_client(bound, mine) as (echo, client):
        for way in (BatchMessages, SingleMessages):
            memory = DatagramMemory(echo.family, stamped=True)
            sent_ns = time.time_ns()
            client.send(b"same")
            assert way(echo, memory).receive() == 1
            (envelope,) = memory.envelopes_of(1)
            described.append((envelope, memory.name(0)))
            assert sent_ns <= memory.received_ns(0) <= time.time_ns()
    assert described[0] == described[1]


def test_what_waits_is_received_in_one_batch_and_no_more_than_there_is_room_for() -> None:
    with echo_and_client("127.0.0.1", "127.0.0.1") as (echo, client):
        memory = DatagramMemory(echo.family, stamped=True)
        messages = BatchMessages(echo, memory)
        for number in range(MAX_DATAGRAMS + 3):
            client.send(bytes([number]))
        assert messages.receive() == MAX_DATAGRAMS
        assert [memory.payload(at, 1)[0] for at in range(MAX_DATAGRAMS)] == list(range(MAX_DATAGRAMS))
        assert messages.receive() == 3


@WAYS
def test_nothing_in_time_is_no_datagram(way: Way) -> None:
    with echo_and_client("127.0.0.1", "127.0.0.1") as (echo, _client):
        set_receive_timeout(echo, 0.01)
        assert way(echo, DatagramMemory(echo.family, stamped=True)).receive() <= 0


def test_one_answer_that_the_kernel_refuses_does_not_hold_up_the_others() -> None:
    with echo_and_client("127.0.0.1", "127.0.0.1") as (echo, client):
        memory = DatagramMemory(echo.family, stamped=True)
        messages = BatchMessages(echo, memory)
        for number in range(5):
            client.send(bytes([number]))
        assert messages.receive() == 5
        for at in range(5):
            memory.put_size(at, 1)
            memory.put_ancillary(at, b"" if at not in {0, 3} else pack_items([(0, 2, b"\x00\x00\x00\x00")]))
        assert messages.send_first(5, socket.MSG_DONTWAIT) == -1
        assert messages.send_slots(range(5)) == [(0, "send_error"), (3, "send_error")]
        assert [client.recv(9) for _ in range(3)] == [b"\x01", b"\x02", b"\x04"]
        assert messages.send_after_refused(range(5)) == [(0, "send_error"), (3, "send_error")]
        assert [client.recv(9) for _ in range(3)] == [b"\x01", b"\x02", b"\x04"]


@pytest.mark.parametrize("receiver", ["255.255.255.255", "240.0.0.1"])
@WAYS
def test_an_answer_that_can_not_be_routed_is_left_out_and_not_tried_again(
    way: Way, receiver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    sendmsg = socket.socket.sendmsg

    def counted(*words: Any) -> int:
        tries.append(words)
        return sendmsg(*words)

    monkeypatch.setattr(socket.socket, "sendmsg", counted)
    with echo_and_client("127.0.0.1", "127.0.0.1") as (echo, client):
        memory = DatagramMemory(echo.family, stamped=True)
        messages = way(echo, memory)
        client.send(b"x")
        assert messages.receive() == 1
        answer = build_answer(memory.received_items(0), None)
        assert not isinstance(answer, str)
        memory.put_size(0, 1)
        memory.put_ancillary(0, pack_items(answer))
        name = name_of((receiver, 9))
        memory.envelopes[: len(name)] = name
        assert messages.send_first(1, socket.MSG_DONTWAIT) == -1
        assert messages.send_after_refused([0]) == [(0, "send_error")]
    assert len(tries) == (1 if way is SingleMessages else 0)


def test_the_answers_that_follow_a_refused_one_are_sent_and_it_is_not() -> None:
    with echo_and_client("127.0.0.1", "127.0.0.1") as (echo, client):
        memory = DatagramMemory(echo.family, stamped=True)
        messages = BatchMessages(echo, memory)
        for number in range(4):
            client.send(bytes([number]))
        assert messages.receive() == 4
        for at in range(4):
            memory.put_size(at, 1)
            memory.put_ancillary(at, b"" if at != 1 else pack_items([(0, 2, b"\x00\x00\x00\x00")]))
        sent = messages.send_first(4, socket.MSG_DONTWAIT)
        assert sent == 1
        # Its reason to fail has gone, so that a second try would succeed.
        memory.put_ancillary(1, b"")
        assert messages.send_after_refused(range(sent, 4)) == [(1, "send_error")]
        assert [client.recv(9) for _ in range(3)] == [b"\x00", b"\x02", b"\x03"]


def test_a_full_send_buffer_is_told_from_an_answer_that_can_not_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with echo_and_client("127.0.0.1", "127.0.0.1") as (echo, _client):
        messages = BatchMessages(echo, DatagramMemory(echo.family, stamped=True))
        assert messages.send_after_refused([0]) == [(0, "send_error")]
        monkeypatch.setattr(messages, "_room", Full())
        assert messages.send_after_refused([0]) == [(0, "send_full")]


class Full:
    """A poll object of a socket whose send buffer is full."""

    def poll(self, _milliseconds: int) -> list[tuple[int, int]]:
        return []

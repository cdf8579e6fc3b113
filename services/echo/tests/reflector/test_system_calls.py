"""Receiving and sending by compiled code, on real sockets."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from senders import name_bytes

from rtppool_echo.messages.datagram_memory import (
    CONTROL_BYTES,
    ENVELOPE_WORDS,
    MAX_DATAGRAMS,
    SIZE,
    WORD_BYTES,
)
from rtppool_echo.reflector.entry_points import answer, reflect
from rtppool_echo.reflector.memory import ANSWERS, ATTEND, BUSY, IDLE, SINGLES, ReflectorMemory, Rules
from rtppool_echo.reflector.process import has_stamps, interrupt_every
from rtppool_echo.reflector.system_calls import MAX_BATCHES, MAX_SINGLES
from rtppool_echo.workers.counters import (
    ANSWERED_BYTES,
    ANSWERED_PACKETS,
    ASKED_FROM_ELSEWHERE,
    WORD_OF_REASON,
    WORDS,
)
from rtppool_echo.workers.sockets import bind_sockets
from rtppool_testing.packets import rtp_packet

ANYTHING = Rules(own_port=1, rtp_only=False)
FAMILIES = pytest.mark.parametrize(
    ("bound", "mine"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")],
    ids=["v4", "v6", "dual-v6", "dual-v4"],
)


class Echo:
    """The memory of a process on a blocking socket that no new sender interrupts, and a connected client."""

    def __init__(self, sock: socket.socket, client: socket.socket, rules: Rules) -> None:
        self.sock, self.client = sock, client
        self.words = memoryview(bytearray(WORDS * WORD_BYTES)).cast("Q")
        self.words[ASKED_FROM_ELSEWHERE] = 1
        self.memory = ReflectorMemory(sock.fileno(), sock.family, self.words, rules, stamped=has_stamps(sock))

    def reflect_all(self) -> None:
        """Answer until nothing arrives any more."""
        while reflect(self.memory.address) != IDLE:
            pass

    def dropped(self) -> dict[str, int]:
        return {reason: self.words[word] for reason, word in WORD_OF_REASON.items() if self.words[word]}


@contextlib.contextmanager
def echo_and_client(bound: str = "127.0.0.1", mine: str = "127.0.0.1", rules: Rules = ANYTHING) -> Iterator[Echo]:
    (sock,) = bind_sockets(bound, 0, 1)
    family = socket.AF_INET6 if ":" in mine else socket.AF_INET
    with sock, socket.socket(family, socket.SOCK_DGRAM) as client:
        client.bind((mine, 0))
        client.settimeout(30)
        client.connect((mine, sock.getsockname()[1]))
        # Non-blocking, as it was bound: with nothing to receive, `reflect` returns.
        yield Echo(sock, client, rules)


@FAMILIES
def test_datagrams_of_every_size_come_back(bound: str, mine: str) -> None:
    with echo_and_client(bound, mine) as echo:
        for payload in (b"first", b"", b"x" * 65_507):
            echo.client.send(payload)
            echo.reflect_all()
            assert echo.client.recv(65_535) == payload
        assert (echo.words[ANSWERED_PACKETS], echo.words[ANSWERED_BYTES]) == (3, 65_512)


@FAMILIES
def test_the_kernel_describes_a_datagram_in_the_layout_of_the_memory(bound: str, mine: str) -> None:
    with echo_and_client(bound, mine) as echo:
        sent_ns = time.time_ns()
        echo.client.send(b"same")
        echo.words[ASKED_FROM_ELSEWHERE] = 0
        assert reflect(echo.memory.address) == ATTEND
        host, port = echo.client.getsockname()[:2]
        name = f"::ffff:{host}" if ":" in bound and ":" not in mine else host
        envelope = echo.memory.array("envelopes")[:ENVELOPE_WORDS].cast("B")
        assert bytes(envelope[:32]) == name_bytes(name, port)
        assert sent_ns <= echo.memory.received_ns(0) <= time.time_ns()
        assert echo.memory.array("questions")[SIZE] & 0xFFFF_FFFF == 4


@FAMILIES
@pytest.mark.parametrize("number", [1, MAX_DATAGRAMS + 3, MAX_SINGLES + 5])
def test_what_waits_is_answered_in_order_in_whatever_batches(bound: str, mine: str, number: int) -> None:
    with echo_and_client(bound, mine) as echo:
        sent = [bytes([at]) * (1 + at) for at in range(number)]
        for _ in range(3):
            for payload in sent:
                echo.client.send(payload)
            echo.reflect_all()
            assert [echo.client.recv(999) for _ in sent] == sent


def test_datagrams_that_come_one_by_one_are_received_so_and_a_burst_in_a_batch_again() -> None:
    with echo_and_client() as echo:
        for number in range(3 * MAX_SINGLES):
            echo.client.send(bytes([number]))
            echo.reflect_all()
            assert echo.client.recv(9) == bytes([number])
        assert 0 < echo.memory.array("state")[SINGLES] <= MAX_SINGLES
        for number in range(3 * MAX_SINGLES):
            echo.client.send(bytes([number]))
        assert reflect(echo.memory.address) == IDLE
        assert [echo.client.recv(9)[0] for _ in range(3 * MAX_SINGLES)] == list(range(3 * MAX_SINGLES))


def test_signals_are_handled_also_while_datagrams_come_without_a_pause() -> None:
    with echo_and_client() as echo:
        for _ in range(MAX_BATCHES + 1):
            echo.client.send(b"x")
        echo.memory.array("state")[SINGLES] = 1
        outcomes = []
        while not outcomes or outcomes[-1] != IDLE:
            outcomes.append(reflect(echo.memory.address))
        assert set(outcomes) <= {BUSY, IDLE}
        assert echo.words[ANSWERED_PACKETS] == MAX_BATCHES + 1


def test_nothing_until_the_next_signal_is_no_datagram() -> None:
    former = signal.getsignal(signal.SIGALRM)
    with echo_and_client() as echo:
        echo.sock.settimeout(None)
        interrupt_every(0.01)
        try:
            assert reflect(echo.memory.address) == IDLE
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)


def test_a_new_sender_waits_for_control_until_one_is_from_elsewhere() -> None:
    with echo_and_client() as echo:
        echo.words[ASKED_FROM_ELSEWHERE] = 0
        echo.client.send(b"x")
        assert reflect(echo.memory.address) == ATTEND
        assert answer(echo.memory.address) == 1
        assert echo.client.recv(9) == b"x"


@pytest.mark.parametrize("refused", [(0, 3), (1,), (4,), (0, 1, 2, 3, 4)])
def test_answers_that_the_kernel_refuses_do_not_hold_up_the_others(refused: tuple[int, ...]) -> None:
    with echo_and_client() as echo:
        receive_five(echo)
        for place in refused:
            # A hop limit of 0, which the kernel does not accept.
            echo.memory.array("answer_ancillary")[place * 16 + 6] = 0
        assert answer(echo.memory.address) == 5 - len(refused)
        kept = [bytes([at]) for at in range(5) if at not in refused]
        assert [echo.client.recv(9) for _ in kept] == kept
        assert echo.dropped() == {"send_error": len(refused)}
        assert echo.words[ANSWERED_BYTES] == len(kept)


@pytest.mark.parametrize("receiver", ["255.255.255.255", "240.0.0.1"])
def test_an_answer_that_can_not_be_routed_is_counted(receiver: str) -> None:
    with echo_and_client() as echo:
        receive_five(echo)
        echo.memory.array("envelopes").cast("B")[:32] = name_bytes(receiver, 9)
        assert answer(echo.memory.address) == 4
        assert echo.dropped() == {"send_error": 1}


def test_a_full_send_buffer_is_told_from_an_answer_that_can_not_be_sent() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(65_536))
    with echo_and_client() as echo:
        receive_five(echo)
        echo.memory.array("answer_ancillary")[6] = 0
        # A full pipe in place of the socket.
        echo.memory.array("room")[0] = writer | select.POLLOUT << 32
        answer(echo.memory.address)
        assert echo.dropped() == {"send_full": 1}
    os.close(reader)
    os.close(writer)


def test_a_truncated_description_is_refused_and_the_next_datagram_answered() -> None:
    with echo_and_client(rules=Rules(own_port=1)) as echo:
        echo.memory.array("questions")[CONTROL_BYTES] -= 8
        echo.client.send(rtp_packet(1))
        echo.client.send(rtp_packet(2))
        echo.reflect_all()
        assert echo.client.recv(999) == rtp_packet(2)
        assert echo.dropped() == {"destination": 1}


def receive_five(echo: Echo) -> None:
    """Receive five datagrams of one byte, and prepare their answers."""
    packets = [bytes([at]) for at in range(5)]
    for packet in packets:
        echo.client.send(packet)
    echo.words[ASKED_FROM_ELSEWHERE] = 0
    assert reflect(echo.memory.address) == ATTEND
    echo.words[ASKED_FROM_ELSEWHERE] = 1
    assert echo.memory.array("state")[ANSWERS] == len(packets)

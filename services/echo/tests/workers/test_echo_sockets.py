from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from rtppool_echo.workers import sockets as echo_sockets
from rtppool_echo.workers.sockets import bind_sockets, close_port

WORKERS = 3
SENDERS = 200
IPV4 = pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
EVERY = pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::", "::1"])


@contextmanager
def closed_port(address: str) -> Iterator[tuple[list[socket.socket], socket.socket | None]]:
    with ExitStack() as held:
        workers = bind_sockets(address, 0, WORKERS)
        for sock in workers:
            held.enter_context(sock)
        guard = close_port(workers)
        if guard is not None:
            held.enter_context(guard)
        yield workers, guard


def joins(address: str, port: int, option: int) -> bool:
    """Whether another socket of this user can share the port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            stranger.bind((address, port))
        except OSError:
            return False
    return True


def received(sock: socket.socket) -> int:
    number = 0
    while True:
        try:
            sock.recv(10)
        except BlockingIOError:
            return number
        number += 1


def send_from_many(address: str, port: int) -> None:
    for _ in range(SENDERS):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", (address, port))


@EVERY
@pytest.mark.parametrize("option", [socket.SO_REUSEPORT, socket.SO_REUSEADDR])
def test_no_other_socket_of_the_same_user_can_join_the_port(address: str, option: int) -> None:
    with closed_port(address) as (workers, _guard):
        assert not joins(address, workers[0].getsockname()[1], option)


@IPV4
@pytest.mark.parametrize("stranger", ["0.0.0.0", "127.0.0.1", "::"])
def test_nor_on_another_address_that_receives_the_same_datagrams(address: str, stranger: str) -> None:
    with closed_port(address) as (workers, _guard):
        assert not joins(stranger, workers[0].getsockname()[1], socket.SO_REUSEPORT)


@IPV4
def test_the_senders_of_a_closed_ipv4_port_are_spread_over_all_workers(address: str) -> None:
    with closed_port(address) as (workers, guard):
        assert guard is not None
        send_from_many("127.0.0.1", workers[0].getsockname()[1])
        numbers = [received(sock) for sock in workers]
        guard.setblocking(False)
        assert sum(numbers) == SENDERS
        assert all(numbers)
        assert received(guard) == 0


@pytest.mark.parametrize("address", ["::", "::1"])
def test_one_worker_receives_all_senders_of_a_closed_ipv6_port(address: str) -> None:
    with closed_port(address) as (workers, guard):
        assert guard is None
        send_from_many("::1", workers[0].getsockname()[1])
        assert sorted(received(sock) for sock in workers) == [0, 0, SENDERS]


def test_a_system_without_ipv6_closes_an_ipv4_port_without_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = bind_sockets("127.0.0.1", 0, WORKERS)

    def refuse(*_words: object) -> socket.socket:
        raise OSError

    monkeypatch.setattr(echo_sockets.socket, "socket", refuse)
    guard = close_port(workers)
    monkeypatch.undo()
    assert guard is None
    assert not joins("127.0.0.1", workers[0].getsockname()[1], socket.SO_REUSEPORT)
    for sock in workers:
        sock.close()


def test_an_echo_of_the_same_user_is_refused_the_port_as_before() -> None:
    with closed_port("127.0.0.1") as (workers, _guard), pytest.raises(Exception, match="Address already in use"):
        bind_sockets("127.0.0.1", workers[0].getsockname()[1], WORKERS)

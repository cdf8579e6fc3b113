from __future__ import annotations

import errno
import socket
from functools import partial

import pytest

from rtppool_core.net.udp import BindError
from rtppool_relay.media.port_sockets import bind_another_echo, bind_pair, can_bind


def udp(address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    sock.settimeout(2)
    return sock


def test_each_socket_gets_the_packets_of_its_own_peer_only() -> None:
    with udp() as asterisk, udp() as echo, udp() as stranger:
        pair = bind_pair("127.0.0.1", 0, 46)
        pair.asterisk.connect(asterisk.getsockname())
        pair.echo.connect(echo.getsockname())
        address = ("127.0.0.1", pair.port)
        stranger.sendto(b"stranger", address)
        asterisk.sendto(b"from asterisk", address)
        echo.sendto(b"from echo", address)
        assert pair.asterisk.recv(100) == b"from asterisk"
        assert pair.echo.recv(100) == b"from echo"
        for sock in (pair.asterisk, pair.echo):
            with pytest.raises(BlockingIOError):
                sock.recv(100)
        pair.close()


def test_nobody_else_can_join_the_port_even_with_reuseport() -> None:
    pair = bind_pair("127.0.0.1", 0, 46)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="Address already in use"):
            thief.bind(("127.0.0.1", pair.port))
    pair.close()


def test_a_port_that_somebody_holds_is_an_error_that_names_it() -> None:
    with udp() as holder:
        port = holder.getsockname()[1]
        with pytest.raises(BindError, match=rf"UDP 127.0.0.1:{port} can't be bound: Address already in use"):
            bind_pair("127.0.0.1", port, 46)
        assert "Address already in use" in (can_bind("127.0.0.1", port) or "")
    assert can_bind("127.0.0.1", port) is None


def test_a_second_echo_joins_the_port_and_the_door_is_shut_behind_it() -> None:
    with udp() as old, udp() as new:
        pair = bind_pair("127.0.0.1", 0, 46)
        pair.echo.connect(old.getsockname())
        another = bind_another_echo(pair, "127.0.0.1", 46)
        another.connect(new.getsockname())
        old.sendto(b"old", ("127.0.0.1", pair.port))
        new.sendto(b"new", ("127.0.0.1", pair.port))
        assert (pair.echo.recv(10), another.recv(10)) == (b"old", b"new")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="Address already in use"):
                thief.bind(("127.0.0.1", pair.port))
        another.close()
        pair.close()


def test_packets_carry_the_dscp() -> None:
    with udp() as receiver:
        receiver.setsockopt(socket.IPPROTO_IP, 13, 1)  # IP_RECVTOS
        pair = bind_pair("127.0.0.1", 0, 46)
        pair.echo.connect(receiver.getsockname())
        pair.echo.send(b"x")
        _, ancillary, _, _ = receiver.recvmsg(10, 100)
        assert ancillary[0][2][0] == 46 << 2
        pair.close()


def test_ipv6_works_alike() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
        peer.bind(("::1", 0))
        pair = bind_pair("::1", 0, 46)
        pair.echo.connect(peer.getsockname())
        peer.sendto(b"six", ("::1", pair.port))
        assert pair.echo.recv(10) == b"six"
        pair.close()


def test_asterisk_s_socket_hears_at_the_address_that_asterisk_is_told() -> None:
    with udp("127.0.0.1") as asterisk, udp("127.0.0.1") as echo:
        pair = bind_pair("0.0.0.0", 0, 46, "127.0.0.2")
        pair.asterisk.connect(asterisk.getsockname())
        pair.echo.connect(echo.getsockname())
        asterisk.sendto(b"from asterisk", ("127.0.0.2", pair.port))
        assert pair.asterisk.recv(100) == b"from asterisk"
        pair.asterisk.send(b"back")
        assert asterisk.recvfrom(100) == (b"back", ("127.0.0.2", pair.port))
        pair.close()


def test_an_address_that_is_not_this_machine_s_is_one_behind_a_nat() -> None:
    pair = bind_pair("0.0.0.0", 0, 46, "192.0.2.1")
    assert pair.asterisk.getsockname()[0] == "0.0.0.0"
    pair.close()


@pytest.mark.parametrize("holder_at", ["127.0.0.1", "127.0.0.2", "127.0.0.3", "0.0.0.0"])
def test_a_port_that_somebody_holds_on_any_address_is_refused(holder_at: str) -> None:
    with udp(holder_at) as holder, pytest.raises(BindError, match="Address already in use"):
        bind_pair("0.0.0.0", holder.getsockname()[1], 46, "127.0.0.2")


@pytest.mark.parametrize("thief_at", ["127.0.0.1", "127.0.0.2", "0.0.0.0"])
def test_nobody_joins_a_port_whose_sockets_have_two_addresses(thief_at: str) -> None:
    pair = bind_pair("0.0.0.0", 0, 46, "127.0.0.2")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="Address already in use"):
            thief.bind((thief_at, pair.port))
    pair.close()


def test_a_second_echo_joins_a_port_whose_sockets_have_two_addresses() -> None:
    with udp() as old, udp() as new:
        pair = bind_pair("0.0.0.0", 0, 46, "127.0.0.2")
        pair.echo.connect(old.getsockname())
        another = bind_another_echo(pair, "0.0.0.0", 46)
        another.connect(new.getsockname())
        new.sendto(b"new", ("127.0.0.1", pair.port))
        assert another.recv(100) == b"new"
        another.close()
        pair.close()


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.ENOBUFS])
def test_a_shortage_at_the_bind_says_nothing_about_the_port(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(socket.socket):
        def bind(self, _address: object) -> None:
            raise OSError(number, "x")

    monkeypatch.setattr("rtppool_relay.media.port_sockets.socket.socket", Short)
    for attempt in (partial(bind_pair, "127.0.0.1", 0, 46), partial(can_bind, "127.0.0.1", 0)):
        with pytest.raises(OSError, match="x") as raised:
            attempt()
        assert raised.value.errno == number

"""Senders that a call's connected sockets do not hear."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from rtppool_relay.media.port_sockets import PortSockets, bind_observer, bind_pair, can_bind
from rtppool_relay.ports.sender_observer import MAX_OBSERVED_PACKETS, MAX_OBSERVED_SENDERS, observe_senders
from rtppool_testing.packets import rtp_packet
from rtppool_testing.ports import free_port
from rtppool_testing.sockets import address_of, udp_socket


@pytest.fixture
def asterisk() -> Iterator[socket.socket]:
    with udp_socket() as sock:
        yield sock


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def pair(request: pytest.FixtureRequest, asterisk: socket.socket) -> Iterator[PortSockets]:
    """The sockets of a port whose peers are Asterisk and an echo."""
    with udp_socket() as echo:
        sockets = bind_pair(request.param, free_port(), 0)
        sockets.asterisk.connect(address_of(asterisk))
        sockets.echo.connect(address_of(echo))
        yield sockets
        sockets.close()


def received(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.recv(2048)
        except BlockingIOError:
            return count
        count += 1


@pytest.fixture
def observer(pair: PortSockets) -> Iterator[socket.socket]:
    with bind_observer(pair, "0.0.0.0") as sock:
        yield sock


async def test_a_sender_that_is_not_connected_is_observed_and_no_packet_of_the_call_is_taken(
    pair: PortSockets, observer: socket.socket, asterisk: socket.socket
) -> None:
    observing = asyncio.create_task(observe_senders(observer))
    await asyncio.sleep(0)
    with udp_socket() as translated:
        for sequence in range(20):
            translated.sendto(rtp_packet(sequence), ("127.0.0.1", pair.port))
            asterisk.sendto(rtp_packet(sequence), ("127.0.0.1", pair.port))
            await asyncio.sleep(0)
        assert await observing == (address_of(translated),)
        assert received(pair.asterisk) == 20
        assert received(translated) == 0
    assert received(pair.echo) == 0


async def test_without_a_sender_nothing_is_observed(observer: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtppool_relay.ports.sender_observer.MAX_OBSERVED_SECONDS", 0.05)
    assert await observe_senders(observer) == ()


async def test_what_is_no_rtp_is_no_sender_and_senders_have_a_bound(
    pair: PortSockets, observer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtppool_relay.ports.sender_observer.MAX_OBSERVED_SECONDS", 0.2)
    others = [udp_socket() for _ in range(MAX_OBSERVED_SENDERS + 2)]
    others[0].sendto(b"no RTP", ("127.0.0.1", pair.port))
    for other in others[1:]:
        other.sendto(rtp_packet(1), ("127.0.0.1", pair.port))
    assert await observe_senders(observer) == tuple(map(address_of, others[1 : MAX_OBSERVED_SENDERS + 1]))
    for other in others:
        other.close()


async def test_the_observation_of_a_flood_ends_at_its_bound(
    pair: PortSockets, observer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtppool_relay.ports.sender_observer.MAX_OBSERVED_SECONDS", 60)
    with udp_socket() as stranger:
        for sequence in range(MAX_OBSERVED_PACKETS + 1):
            stranger.sendto(rtp_packet(sequence), ("127.0.0.1", pair.port))
        async with asyncio.timeout(30):
            assert await observe_senders(observer) == (address_of(stranger),)


async def test_after_the_observation_the_port_is_the_pair_s_alone(pair: PortSockets) -> None:
    bind_observer(pair, "0.0.0.0").close()
    for sock in (pair.asterisk, pair.echo):
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
    assert "in use" in (can_bind("127.0.0.1", pair.port) or "")

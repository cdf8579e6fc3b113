from __future__ import annotations

import dataclasses
import ipaddress
import os
import random
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

import pytest

from rtppool_core import udp
from rtppool_echo.settings import Settings

Run = Callable[[Settings], AbstractAsyncContextManager[Any]]
Connect = Callable[[str], AbstractContextManager[Any]]
Make = Callable[..., bytes]


async def test_a_packet_comes_back_unchanged(run_echo: Run, settings: Settings, client: Any, make_packet: Make) -> None:
    async with run_echo(settings) as echo:
        client.send(make_packet(9), "127.0.0.1", echo.port)
        assert await client.receive() == (make_packet(9), ("127.0.0.1", echo.port))
        await echo.metric_reaches("rtp_echo_answered_packets_total", 1)
        assert await echo.metric("rtp_echo_answered_bytes_total") == 172


async def test_the_answer_leaves_from_the_address_that_was_asked(
    run_echo: Run, settings: Settings, client: Any, make_packet: Make
) -> None:
    async with run_echo(settings) as echo:
        for address in ("127.0.0.1", "127.0.0.2", "127.3.4.5"):
            client.send(make_packet(), address, echo.port)
            assert (await client.receive())[1] == (address, echo.port)


async def test_a_dual_stack_echo_answers_both_families_from_the_address_asked(
    run_echo: Run, settings: Settings, connect: Connect, make_packet: Make
) -> None:
    async with run_echo(dataclasses.replace(settings, echo_bind="::")) as echo:
        for mine, asked in (("127.0.0.1", "127.0.0.2"), ("::1", "::1")):
            with connect(mine) as client:
                client.send(make_packet(), asked, echo.port)
                assert (await client.receive())[1] == (asked, echo.port)


@pytest.mark.parametrize(("dscp", "expected"), [(None, 0xB8), (10, 10 << 2)])
async def test_the_answer_carries_the_received_tos_or_the_dscp_of_the_settings(
    run_echo: Run, settings: Settings, client: Any, make_packet: Make, dscp: int | None, expected: int
) -> None:
    client.sock.setsockopt(socket.IPPROTO_IP, udp.IP_RECVTOS, 1)
    client.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
    async with run_echo(dataclasses.replace(settings, dscp=dscp)) as echo:
        client.send(make_packet(), "127.0.0.1", echo.port)
        assert await client.receive_tos(socket.IPPROTO_IP, socket.IP_TOS) == expected


@pytest.mark.parametrize(("dscp", "expected"), [(None, 0xB8), (10, 10 << 2)])
@pytest.mark.parametrize(("mine", "level", "kind"), [("::1", 41, 67), ("127.0.0.1", 0, 1)])
async def test_a_dual_stack_answer_carries_the_tos_as_well(
    run_echo: Run,
    settings: Settings,
    connect: Connect,
    make_packet: Make,
    dscp: int | None,
    expected: int,
    mine: str,
    level: int,
    kind: int,
) -> None:
    with connect(mine) as client:
        receive = udp.IPV6_RECVTCLASS if level else udp.IP_RECVTOS
        client.sock.setsockopt(level, receive, 1)
        client.sock.setsockopt(level, kind, 0xB8)
        async with run_echo(dataclasses.replace(settings, echo_bind="::", dscp=dscp)) as echo:
            client.send(make_packet(), mine, echo.port)
            assert await client.receive_tos(level, kind) == expected


async def test_what_is_no_rtp_is_counted_by_reason_and_not_answered(
    run_echo: Run, settings: Settings, client: Any, make_packet: Make
) -> None:
    odd = {
        "short": [b"", b"x", make_packet()[:11]],
        "version": [bytes(12), b"GET / HTTP/1.1\r\n\r\n"],
        "rtcp": [bytes([0x80, 200]) + bytes(26)],
        "truncated": [bytes([0x8F, 0]) + bytes(10)],
    }
    async with run_echo(settings) as echo:
        for datagrams in odd.values():
            for datagram in datagrams:
                client.send(datagram, "127.0.0.1", echo.port)
        client.send(make_packet(), "127.0.0.1", echo.port)
        assert (await client.receive())[0] == make_packet()
        for reason, datagrams in odd.items():
            await echo.metric_reaches(f'rtp_echo_dropped_packets_total{{reason="{reason}"}}', len(datagrams))
        assert await echo.metric("rtp_echo_answered_packets_total") == 1


async def test_random_bytes_end_no_process(run_echo: Run, settings: Settings, client: Any, make_packet: Make) -> None:
    chance = random.Random(4000)
    async with run_echo(settings) as echo:
        before = echo.echo.supervisor.pids
        for _ in range(300):
            client.send(chance.randbytes(chance.randrange(1500)), "127.0.0.1", echo.port)
        client.send(make_packet(), "127.0.0.1", echo.port)
        while (await client.receive())[0] != make_packet():
            pass
        assert echo.echo.supervisor.pids == before
        assert await echo.metric("rtp_echo_worker_restarts_total") == 0


async def test_the_largest_datagram_comes_back_whole(
    run_echo: Run, settings: Settings, client: Any, make_packet: Make
) -> None:
    largest = make_packet(1, bytes(65_507 - 12))
    async with run_echo(settings) as echo:
        client.send(largest, "127.0.0.1", echo.port)
        assert (await client.receive())[0] == largest


async def test_its_own_port_is_never_answered(run_echo: Run, settings: Settings, make_packet: Make) -> None:
    async with run_echo(dataclasses.replace(settings, echo_bind="127.0.0.1")) as echo:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as twin:
            twin.bind(("127.0.0.2", echo.port))
            twin.sendto(make_packet(), ("127.0.0.1", echo.port))
            await echo.metric_reaches('rtp_echo_dropped_packets_total{reason="own_port"}', 1)
            twin.setblocking(False)
            with pytest.raises(BlockingIOError):
                twin.recv(10)


async def test_senders_outside_the_allowed_networks_are_not_answered(
    run_echo: Run, settings: Settings, connect: Connect, make_packet: Make
) -> None:
    allowed = dataclasses.replace(settings, allow=(ipaddress.ip_network("127.0.0.1/32"),))
    async with run_echo(allowed) as echo:
        with connect("127.0.0.2") as stranger, connect("127.0.0.1") as friend:
            stranger.send(make_packet(), "127.0.0.1", echo.port)
            friend.send(make_packet(), "127.0.0.1", echo.port)
            await friend.receive()
            await echo.metric_reaches('rtp_echo_dropped_packets_total{reason="not_allowed"}', 1)


async def test_every_sender_stays_with_one_of_several_processes(
    run_echo: Run, settings: Settings, connect: Connect, make_packet: Make
) -> None:
    async with run_echo(dataclasses.replace(settings, workers=3)) as echo:
        assert len(set(echo.echo.supervisor.pids)) == 3
        for _ in range(12):
            with connect("127.0.0.1") as client:
                for sequence in range(10):
                    client.send(make_packet(sequence), "127.0.0.1", echo.port)
                assert [(await client.receive())[0] for _ in range(10)] == [make_packet(at) for at in range(10)]
        await echo.metric_reaches("rtp_echo_answered_packets_total", 120)
        assert await echo.metric("rtp_echo_workers_up") == 3


async def test_a_killed_process_is_started_again_and_answers_what_waited(
    run_echo: Run, settings: Settings, client: Any, make_packet: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_echo(settings) as echo:
        client.send(make_packet(1), "127.0.0.1", echo.port)
        await client.receive()
        os.kill(echo.echo.supervisor.pids[0], signal.SIGKILL)
        client.send(make_packet(2), "127.0.0.1", echo.port)
        assert (await client.receive(20))[0] == make_packet(2)
        await echo.metric_reaches("rtp_echo_worker_restarts_total", 1)
        await echo.metric_reaches("rtp_echo_answered_packets_total", 2)
    assert "a reflecting process ended; it is started again" in caplog.text


async def test_datagrams_that_find_the_buffer_full_are_counted(
    run_echo: Run, settings: Settings, client: Any, make_packet: Make
) -> None:
    async with run_echo(settings) as echo:
        assert await echo.metric("rtp_echo_receive_overflows_total") == 0
        pid = echo.echo.supervisor.pids[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(300):
                client.send(make_packet(1, bytes(60_000)), "127.0.0.1", echo.port)
            assert await echo.metric("rtp_echo_receive_overflows_total") > 0
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_a_process_that_hangs_is_neither_healthy_nor_ready(run_echo: Run, settings: Settings) -> None:
    async with run_echo(settings) as echo:
        assert (await echo.get("/health"))[0] == 200
        pid = echo.echo.supervisor.pids[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            await echo.metric_reaches("rtp_echo_workers_up", 0)
            for path in ("/health", "/ready"):
                status, body = await echo.get(path)
                assert status == 503
                assert "reflecting process 0 of 1 does not answer" in body
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_every_reason_is_a_series_from_the_start(run_echo: Run, settings: Settings) -> None:
    async with run_echo(settings) as echo:
        _status, text = await echo.get("/metrics")
        series = [line for line in text.splitlines() if line.startswith("rtp_echo_dropped_packets_total{")]
        assert len(series) == 11
        assert all(line.endswith(" 0.0") for line in series)

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import itertools
import os
import random
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

import pytest

from rtppool_core.net import udp
from rtppool_core.rtp import echo_extension
from rtppool_echo.rules.refusals import REASONS
from rtppool_echo.settings import Settings
from rtppool_echo.workers import supervisor
from rtppool_echo.workers.counters import ASKED_FROM_ELSEWHERE
from rtppool_testing.packets import rtp_packet
from rtppool_testing.sockets import received
from rtppool_testing.waiting import until

Run = Callable[[Settings], AbstractAsyncContextManager[Any]]
Connect = Callable[[str], AbstractContextManager[Any]]


def with_extension(packet: bytes) -> bytes:
    head, tail = packet[: echo_extension.MARK_OFFSET], packet[echo_extension.MARK_OFFSET :]
    return bytes([echo_extension.FIRST_BYTE]) + head[1:] + echo_extension.UNFILLED + tail


async def test_a_packet_comes_back_unchanged(run_echo: Run, settings: Settings, client: Any) -> None:
    async with run_echo(settings) as echo:
        client.send(rtp_packet(9), "127.0.0.1", echo.port)
        assert await client.receive() == (rtp_packet(9), ("127.0.0.1", echo.port))
        await echo.metric_reaches("rtp_echo_answered_packets_total", 1)
        assert await echo.metric("rtp_echo_answered_bytes_total") == 172


async def test_the_answer_leaves_from_the_address_that_was_asked(
    run_echo: Run, settings: Settings, client: Any
) -> None:
    async with run_echo(settings) as echo:
        for sequence, address in enumerate(("127.0.0.1", "127.0.0.2", "127.3.4.5")):
            client.send(rtp_packet(sequence), address, echo.port)
            assert (await client.receive())[1] == (address, echo.port)


async def test_a_dual_stack_echo_answers_both_families_from_the_address_asked(
    run_echo: Run, settings: Settings, connect: Connect
) -> None:
    async with run_echo(dataclasses.replace(settings, echo_bind="::")) as echo:
        for mine, asked in (("127.0.0.1", "127.0.0.2"), ("::1", "::1")):
            with connect(mine) as client:
                client.send(rtp_packet(1), asked, echo.port)
                assert (await client.receive())[1] == (asked, echo.port)


@pytest.mark.parametrize(("dscp", "expected"), [(None, 0xB8), (10, 10 << 2)])
async def test_the_answer_carries_the_received_tos_or_the_dscp_of_the_settings(
    run_echo: Run, settings: Settings, client: Any, dscp: int | None, expected: int
) -> None:
    client.sock.setsockopt(socket.IPPROTO_IP, udp.IP_RECVTOS, 1)
    client.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
    async with run_echo(dataclasses.replace(settings, dscp=dscp)) as echo:
        client.send(rtp_packet(1), "127.0.0.1", echo.port)
        assert await client.receive_tos(socket.IPPROTO_IP, socket.IP_TOS) == expected


@pytest.mark.parametrize(("dscp", "expected"), [(None, 0xB8), (10, 10 << 2)])
async def test_a_dual_stack_answer_carries_the_tos_as_well(
    run_echo: Run, settings: Settings, connect: Connect, dscp: int | None, expected: int
) -> None:
    async with run_echo(dataclasses.replace(settings, echo_bind="::", dscp=dscp)) as echo:
        for mine, level, kind in (("::1", 41, 67), ("127.0.0.1", 0, 1)):
            with connect(mine) as client:
                client.sock.setsockopt(level, udp.IPV6_RECVTCLASS if level else udp.IP_RECVTOS, 1)
                client.sock.setsockopt(level, kind, 0xB8)
                client.send(rtp_packet(1), mine, echo.port)
                assert await client.receive_tos(level, kind) == expected


async def test_what_is_no_rtp_is_counted_by_reason_and_not_answered(
    run_echo: Run, settings: Settings, client: Any
) -> None:
    odd = {
        "short": [b"", b"x", rtp_packet(1)[:11]],
        "version": [bytes(12), b"GET / HTTP/1.1\r\n\r\n"],
        "rtcp": [bytes([0x80, 200]) + bytes(26)],
        "truncated": [bytes([0x8F, 0]) + bytes(10)],
    }
    async with run_echo(settings) as echo:
        for datagrams in odd.values():
            for datagram in datagrams:
                client.send(datagram, "127.0.0.1", echo.port)
        client.send(rtp_packet(1), "127.0.0.1", echo.port)
        assert (await client.receive())[0] == rtp_packet(1)
        for reason, datagrams in odd.items():
            await echo.metric_reaches(f'rtp_echo_dropped_packets_total{{reason="{reason}"}}', len(datagrams))
        assert await echo.metric("rtp_echo_answered_packets_total") == 1


def mutated(chance: random.Random, packet: bytes) -> bytes:
    """A packet with some bytes changed, cut off, or something else altogether."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(1500))
    changed = bytearray(packet)
    for _ in range(chance.randrange(4)):
        changed[chance.randrange(min(40, len(changed)))] = chance.randrange(256)
    return bytes(changed[: chance.randrange(len(changed) + 1)] if chance.random() < 0.3 else changed)


@pytest.mark.parametrize("rtp_only", [True, False])
async def test_ten_thousand_fuzzed_datagrams_end_no_process(
    run_echo: Run, settings: Settings, client: Any, rtp_only: bool
) -> None:
    chance = random.Random(4000)
    shapes = [rtp_packet(1), with_extension(rtp_packet(1)), bytes([0x91]) + rtp_packet(1)[1:]]
    async with run_echo(dataclasses.replace(settings, rate=0, rtp_only=rtp_only)) as echo:
        before = echo.echo.supervisor.pids
        for number in range(1, 10_001):
            client.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, number % 255 + 1)
            client.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, number % 256)
            client.send(mutated(chance, shapes[number % 3]), "127.0.0.1", echo.port)
            if number % 50 == 0:
                await echo.has_counted(number)
                while received(client.sock) is not None:
                    pass
        assert echo.echo.supervisor.pids == before
        assert await echo.metric("rtp_echo_worker_restarts_total") == 0


async def test_the_largest_datagram_comes_back_whole(run_echo: Run, settings: Settings, client: Any) -> None:
    largest = rtp_packet(1, payload=bytes(65_507 - 12))
    async with run_echo(settings) as echo:
        client.send(largest, "127.0.0.1", echo.port)
        assert (await client.receive())[0] == largest


async def test_its_own_port_is_never_answered(run_echo: Run, settings: Settings) -> None:
    async with run_echo(dataclasses.replace(settings, echo_bind="127.0.0.1")) as echo:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as twin:
            twin.bind(("127.0.0.2", echo.port))
            twin.sendto(rtp_packet(1), ("127.0.0.1", echo.port))
            await echo.metric_reaches('rtp_echo_dropped_packets_total{reason="own_port"}', 1)
            twin.setblocking(False)
            with pytest.raises(BlockingIOError):
                twin.recv(10)


async def test_senders_outside_the_allowed_networks_are_not_answered(
    run_echo: Run, settings: Settings, connect: Connect
) -> None:
    allowed = dataclasses.replace(settings, allow=(ipaddress.ip_network("127.0.0.1/32"),))
    async with run_echo(allowed) as echo:
        with connect("127.0.0.2") as stranger, connect("127.0.0.1") as friend:
            stranger.send(rtp_packet(1), "127.0.0.1", echo.port)
            friend.send(rtp_packet(1), "127.0.0.1", echo.port)
            await friend.receive()
            await echo.metric_reaches('rtp_echo_dropped_packets_total{reason="not_allowed"}', 1)


async def test_every_sender_stays_with_one_of_several_processes(
    run_echo: Run, settings: Settings, connect: Connect
) -> None:
    async with run_echo(dataclasses.replace(settings, workers=3)) as echo:
        assert len(set(echo.echo.supervisor.pids)) == 3
        for _ in range(12):
            with connect("127.0.0.1") as client:
                for sequence in range(10):
                    client.send(rtp_packet(sequence), "127.0.0.1", echo.port)
                assert [(await client.receive())[0] for _ in range(10)] == [rtp_packet(at) for at in range(10)]
        await echo.metric_reaches("rtp_echo_answered_packets_total", 120)
        assert await echo.metric("rtp_echo_workers_up") == 3


async def test_a_killed_process_is_started_again_and_answers_what_waited(
    run_echo: Run, settings: Settings, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_echo(settings) as echo:
        client.send(rtp_packet(1), "127.0.0.1", echo.port)
        await client.receive()
        await echo.metric_reaches("rtp_echo_answered_packets_total", 1)
        pid = echo.echo.supervisor.pids[0]
        watch = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            assert select.select([watch], [], [], 5)[0]
        finally:
            os.close(watch)
        client.send(rtp_packet(2), "127.0.0.1", echo.port)
        assert (await client.receive(20))[0] == rtp_packet(2)
        await echo.metric_reaches("rtp_echo_worker_restarts_total", 1)
        await echo.metric_reaches("rtp_echo_answered_packets_total", 2)
    assert "a reflecting process ended; it is started again" in caplog.text


async def test_datagrams_that_find_the_buffer_full_are_counted(run_echo: Run, settings: Settings, client: Any) -> None:
    async with run_echo(settings) as echo:
        assert await echo.metric("rtp_echo_receive_overflows_total") == 0
        pid = echo.echo.supervisor.pids[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(300):
                client.send(rtp_packet(1, payload=bytes(60_000)), "127.0.0.1", echo.port)
            assert await echo.metric("rtp_echo_receive_overflows_total") > 0
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_a_process_that_hangs_is_neither_healthy_nor_ready(
    run_echo: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_echo(settings) as echo:
        assert (await echo.get("/health"))[0] == 200
        pid = echo.echo.supervisor.pids[0]
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(supervisor, "SILENT_AFTER_SECONDS", 0.1)
        monkeypatch.setattr(supervisor.ChildProcess, "kill", lambda _process: None)
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
        assert len(series) == len(REASONS)
        assert all(line.endswith(" 0.0") for line in series)


@pytest.mark.parametrize(
    ("bound", "mine", "level", "kind", "receive"),
    [
        ("0.0.0.0", "127.0.0.1", socket.IPPROTO_IP, socket.IP_TTL, udp.IP_RECVTTL),
        ("::", "127.0.0.1", socket.IPPROTO_IP, socket.IP_TTL, udp.IP_RECVTTL),
        ("::", "::1", socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, socket.IPV6_RECVHOPLIMIT),
    ],
    ids=["v4", "dual-v4", "dual-v6"],
)
async def test_an_answer_goes_one_hop_less_far_than_its_question(
    run_echo: Run,
    settings: Settings,
    connect: Connect,
    bound: str,
    mine: str,
    level: int,
    kind: int,
    receive: int,
) -> None:
    unicast_hops = socket.IPV6_UNICAST_HOPS if level == socket.IPPROTO_IPV6 else socket.IP_TTL
    with connect(mine) as client:
        client.sock.setsockopt(level, receive, 1)
        async with run_echo(dataclasses.replace(settings, echo_bind=bound)) as echo:
            for sent, expected in ((255, 63), (64, 63), (10, 9), (2, 1)):
                client.sock.setsockopt(level, unicast_hops, sent)
                client.send(rtp_packet(sent), mine, echo.port)
                assert await client.receive_tos(level, kind) == expected


async def test_a_packet_on_its_last_hop_is_counted_and_not_answered(
    run_echo: Run, settings: Settings, client: Any
) -> None:
    client.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    async with run_echo(settings) as echo:
        client.send(rtp_packet(1), "127.0.0.1", echo.port)
        await echo.metric_reaches('rtp_echo_dropped_packets_total{reason="hop_limit"}', 1)
        assert received(client.sock) is None


@pytest.mark.parametrize("ttl", [64, 255])
async def test_a_forged_datagram_between_two_echoes_that_answer_anything_ends_within_64_datagrams(
    run_echo: Run, settings: Settings, ttl: int
) -> None:
    one_address = dataclasses.replace(settings, echo_bind="127.0.0.1", rtp_only=False)
    async with run_echo(one_address) as left, run_echo(one_address) as right:
        # From the right echo's own socket: to the left one it looks like a sender as good as any.
        (forged,) = right.echo._sockets
        forged.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        forged.sendto(b"no RTP", ("127.0.0.1", left.port))
        # The 64th datagram has no hop left; the first is answered by the left echo, so the last comes to the right one.
        await right.metric_reaches('rtp_echo_dropped_packets_total{reason="hop_limit"}', 1)
        answered = [await echo.metric("rtp_echo_answered_packets_total") for echo in (left, right)]
        assert 1 + sum(answered) == 64
        assert answered == [32, 31]


@pytest.mark.parametrize("rtp_only", [True, False])
async def test_a_forged_packet_between_two_echoes_ends_when_it_comes_back(
    run_echo: Run, settings: Settings, rtp_only: bool
) -> None:
    one_address = dataclasses.replace(settings, echo_bind="127.0.0.1", rtp_only=rtp_only)
    async with run_echo(one_address) as left, run_echo(one_address) as right:
        (forged,) = right.echo._sockets
        forged.sendto(rtp_packet(1), ("127.0.0.1", left.port))
        await left.metric_reaches('rtp_echo_dropped_packets_total{reason="repeated"}', 1)
        assert [await echo.metric("rtp_echo_answered_packets_total") for echo in (left, right)] == [1, 1]


@pytest.mark.parametrize("delay_seconds", [0.006, 0.02])
async def test_a_loop_through_a_foreign_echo_ends(run_echo: Run, settings: Settings, delay_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    seen: list[bytes] = []

    class ForeignEcho(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            seen.append(data)
            loop.call_later(delay_seconds, self.transport.sendto, data, address)

    foreign, _ = await loop.create_datagram_endpoint(ForeignEcho, local_addr=("127.0.0.1", 0))
    try:
        async with run_echo(settings) as echo:
            # As a packet with a forged sender would begin it.
            for sequence in range(5):
                foreign.sendto(rtp_packet(sequence), ("127.0.0.1", echo.port))
            await echo.metric_reaches('rtp_echo_dropped_packets_total{reason="repeated"}', 5)
            assert await echo.metric("rtp_echo_answered_packets_total") == 5
            assert seen == [rtp_packet(sequence) for sequence in range(5)]
    finally:
        foreign.close()


async def test_a_networks_duplicate_costs_its_sender_no_answer_and_the_neighbours_nothing(
    run_echo: Run, settings: Settings, connect: Connect
) -> None:
    async with run_echo(settings) as echo:
        with connect("127.0.0.1") as client, connect("127.0.0.1") as neighbour:
            for packet in (rtp_packet(1), rtp_packet(1), rtp_packet(2), rtp_packet(1, ssrc=8)):
                client.send(packet, "127.0.0.1", echo.port)
            neighbour.send(rtp_packet(1), "127.0.0.1", echo.port)
            answers = [(await client.receive())[0] for _ in range(3)]
            assert answers == [rtp_packet(1), rtp_packet(2), rtp_packet(1, ssrc=8)]
            assert (await neighbour.receive())[0] == rtp_packet(1)
        assert await echo.metric('rtp_echo_dropped_packets_total{reason="repeated"}') == 1


@pytest.mark.parametrize("option", [socket.SO_REUSEPORT, socket.SO_REUSEADDR])
async def test_another_process_of_the_same_user_can_not_join_the_port_of_several_processes(
    run_echo: Run, settings: Settings, option: int
) -> None:
    async with run_echo(dataclasses.replace(settings, workers=2)) as echo:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, option, 1)
            with pytest.raises(OSError, match="Address already in use"):
                stranger.bind(("0.0.0.0", echo.port))


async def test_an_ipv6_echo_of_several_processes_says_that_one_receives_everything(
    run_echo: Run, settings: Settings, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_echo(dataclasses.replace(settings, workers=2, echo_bind="::")) as echo:
        for _ in range(10):
            with connect("::1") as client:
                client.send(rtp_packet(1), "::1", echo.port)
                assert (await client.receive())[0] == rtp_packet(1)
    assert "one reflecting process receives all datagrams" in caplog.text


async def test_a_batch_of_good_and_bad_packets_is_answered_exactly_right(
    run_echo: Run, settings: Settings, client: Any
) -> None:
    good = [rtp_packet(sequence, payload=bytes([sequence]) * (sequence % 50)) for sequence in range(150)]
    bad = [b"", b"x", bytes([0x80, 200]) + bytes(26), bytes(12), bytes([0x90, 0]) + bytes(10)]
    async with run_echo(settings) as echo:
        pid = echo.echo.supervisor.pids[0]
        # While it stands still, so that they lie side by side in its batches.
        os.kill(pid, signal.SIGSTOP)
        try:
            for at, packet in enumerate(good):
                client.send(bad[at % len(bad)], "127.0.0.1", echo.port)
                client.send(packet, "127.0.0.1", echo.port)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert [(await client.receive())[0] for _ in good] == good
        await echo.metric_reaches("rtp_echo_answered_packets_total", len(good))
        assert await echo.metric("rtp_echo_answered_bytes_total") == sum(map(len, good))
        for reason, number in {"short": 60, "rtcp": 30, "version": 30, "truncated": 30}.items():
            assert await echo.metric(f'rtp_echo_dropped_packets_total{{reason="{reason}"}}') == number
        assert received(client.sock) is None


async def test_what_exceeds_a_senders_rate_is_counted_and_another_sender_is_not_touched(
    run_echo: Run, settings: Settings, connect: Connect
) -> None:
    async with run_echo(dataclasses.replace(settings, rate=1)) as echo:
        with connect("127.0.0.1") as loud, connect("127.0.0.1") as quiet:
            for sequence in range(500):
                loud.send(rtp_packet(sequence), "127.0.0.1", echo.port)
            quiet.send(rtp_packet(1), "127.0.0.1", echo.port)
            assert (await quiet.receive())[0] == rtp_packet(1)
            answered = await echo.metric("rtp_echo_answered_packets_total")
            dropped = await echo.metric('rtp_echo_dropped_packets_total{reason="rate"}')
            assert answered + dropped == 501
            assert dropped > 400


async def test_an_address_has_a_rate_of_its_own_where_that_is_asked_for(
    run_echo: Run, settings: Settings, connect: Connect
) -> None:
    async with run_echo(dataclasses.replace(settings, rate_per_address=1)) as echo:
        for _ in range(20):
            with connect("127.0.0.1") as client:
                client.send(rtp_packet(1), "127.0.0.1", echo.port)
        with connect("127.0.0.2") as neighbour:
            neighbour.send(rtp_packet(1), "127.0.0.1", echo.port)
            await neighbour.receive()
        assert await echo.metric('rtp_echo_dropped_packets_total{reason="address_rate"}') > 10


async def test_anything_is_answered_when_it_need_not_be_rtp(run_echo: Run, settings: Settings, client: Any) -> None:
    async with run_echo(dataclasses.replace(settings, rtp_only=False)) as echo:
        for datagram in (b"", b"x", b"GET / HTTP/1.1\r\n\r\n", bytes([0x80, 200]) + bytes(26)):
            client.send(datagram, "127.0.0.1", echo.port)
            assert (await client.receive())[0] == datagram


@pytest.mark.parametrize(("bound", "mine"), [("127.0.0.1", "127.0.0.1"), ("::", "::1"), ("::", "127.0.0.1")])
async def test_the_extension_comes_back_filled_and_a_filled_one_as_it_is(
    run_echo: Run, settings: Settings, connect: Connect, bound: str, mine: str
) -> None:
    async with run_echo(dataclasses.replace(settings, echo_bind=bound)) as echo:
        with connect(mine) as client:
            for count in (1, 2):
                asked = with_extension(rtp_packet(count))
                before_ns = time.time_ns()
                client.send(asked, mine, echo.port)
                answer, _ = await client.receive()
                after_ns = time.time_ns()
                number, received_ns, sent_ns = echo_extension.MEASURED.unpack_from(
                    answer, echo_extension.MEASURED_OFFSET
                )
                assert number == count
                assert before_ns <= received_ns <= sent_ns <= after_ns
                assert answer[: echo_extension.FILLED_OFFSET] == asked[: echo_extension.FILLED_OFFSET]
                assert answer[echo_extension.MIN_PACKET_BYTES :] == asked[echo_extension.MIN_PACKET_BYTES :]
            filled = answer[:2] + rtp_packet(3)[2:4] + answer[4:]
            client.send(filled, mine, echo.port)
            assert (await client.receive())[0] == filled


def host_field(answer: bytes) -> int:
    return int.from_bytes(answer[echo_extension.HOST_OFFSET : echo_extension.MEASURED_OFFSET], "big")


def ask_from_elsewhere(echo: Any) -> None:
    """Play the reflecting process that answers a sender on another machine."""
    with echo.echo._counters.words(0) as words:
        words[ASKED_FROM_ELSEWHERE] = 1


async def test_answers_report_host_time_while_the_heartbeat_runs(
    run_echo: Run, settings: Settings, client: Any
) -> None:
    numbers = itertools.count()

    async def is_reported(echo: Any) -> bool:
        client.send(with_extension(rtp_packet(next(numbers))), "127.0.0.1", echo.port)
        return host_field((await client.receive())[0]) > 0

    async with run_echo(settings) as echo:
        assert not await is_reported(echo)
        ask_from_elsewhere(echo)
        await until(lambda: is_reported(echo), "an answer with host time")


async def test_a_sender_on_this_machine_needs_no_heartbeat_of_the_echo(
    run_echo: Run, settings: Settings, client: Any
) -> None:
    async with run_echo(settings) as echo:
        client.send(rtp_packet(1), "127.0.0.1", echo.port)
        await client.receive()
        assert not echo.echo._counters.is_asked_from_elsewhere()
        await echo.echo.watch.collect([])
        assert echo.echo.watch.heartbeat.pid is None


async def test_a_heartbeat_that_ends_is_started_again_and_ends_nothing_else(
    run_echo: Run, settings: Settings, client: Any
) -> None:
    async with run_echo(settings) as echo:
        heartbeat, workers = echo.echo.watch.heartbeat, echo.echo.supervisor.pids
        ask_from_elsewhere(echo)
        await until(lambda: heartbeat.pid is not None, "the heartbeat to start")
        before = heartbeat.pid
        os.kill(before, signal.SIGKILL)
        await until(lambda: heartbeat.pid not in {before, None}, "the heartbeat to be started again")
        client.send(rtp_packet(1), "127.0.0.1", echo.port)
        assert (await client.receive())[0] == rtp_packet(1)
        assert echo.echo.supervisor.pids == workers
        assert (await echo.get("/health"))[0] == 200


async def test_host_time_is_counted_and_absent_without_witnesses(run_echo: Run, settings: Settings) -> None:
    processor = min(os.sched_getaffinity(0))
    stalls = f'rtp_echo_host_stall_seconds_total{{processor="{processor}"}} '

    async def has(echo: Any, sample: str) -> bool:
        return f"\n{sample}" in (await echo.get("/metrics"))[1]

    async with run_echo(settings) as echo:
        await until(lambda: has(echo, "rtp_echo_worker_run_delay_seconds_total "), "a sample of run delay")
        assert not await has(echo, stalls)
        ask_from_elsewhere(echo)
        await until(lambda: has(echo, stalls), "a sample of stalls")
    async with run_echo(dataclasses.replace(settings, host_witnesses=False)) as echo:
        assert echo.echo.watch is None
        assert not await has(echo, "rtp_echo_worker_run_delay_seconds_total ")

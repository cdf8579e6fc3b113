"""The bursts of the probe, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rtppool_core.contract.pools_file import ProbeSettings
from rtppool_core.contract.port_range import PortRange
from rtppool_relay.ports.call_ports import CallPorts
from rtppool_relay.ports.probe import PACKETS_PER_BURST, Probe
from rtppool_testing.sockets import udp_socket

pytestmark = pytest.mark.looptime

CLOCK_RATE_HZ = 8000


class Leased:
    """The probe's port: a socket of the test receives its packets."""

    is_bound = True
    statistics = SimpleNamespace(clock_rate_hz=CLOCK_RATE_HZ)

    def __init__(self, port: int) -> None:
        self.port = port

    async def connect(self, address: str, port: int) -> None:
        del address, port

    async def close(self) -> None:
        self.is_bound = False


def probe_on(
    receiver: socket.socket, interval_seconds: int, *, reachable: bool, enabled: bool = True, free: bool = True
) -> Probe:
    port = receiver.getsockname()[1]
    ports: Any = SimpleNamespace(
        open_probe=lambda: Leased(port) if free else None,
        port_released=asyncio.Event(),
        manager=SimpleNamespace(end_probe=lambda: None),
        measurement=SimpleNamespace(echo=SimpleNamespace(reachable=reachable)),
        addresses=SimpleNamespace(bound=lambda: "127.0.0.1"),
    )
    settings = ProbeSettings(enabled=enabled, interval_seconds=interval_seconds)
    config: Any = SimpleNamespace(
        probe=settings, port_range=PortRange(port, port), excluded_ports=frozenset(), clock_rate_hz=CLOCK_RATE_HZ
    )
    return Probe(cast("CallPorts", ports), lambda: config)


async def bursts_in(seconds: float, probe: Probe, receiver: socket.socket) -> int:
    task = asyncio.create_task(probe.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    packets = 0
    with contextlib.suppress(BlockingIOError):
        while receiver.recv(2048):
            packets += 1
    return packets // PACKETS_PER_BURST


async def test_bursts_follow_the_interval_while_the_echo_answers() -> None:
    with udp_socket() as receiver:
        assert await bursts_in(59.5, probe_on(receiver, 20, reachable=True), receiver) == 3


async def test_a_burst_follows_about_every_second_while_the_echo_is_unreachable() -> None:
    with udp_socket() as receiver:
        assert await bursts_in(12.0, probe_on(receiver, 20, reachable=False), receiver) == 11


@contextlib.asynccontextmanager
async def answering(receiver: socket.socket, lost: int = 0) -> AsyncIterator[None]:
    """Return packets to their sender, without the first `lost` of every burst."""
    received = 0

    def answer() -> None:
        nonlocal received
        packet, sender = receiver.recvfrom(2048)
        if received % PACKETS_PER_BURST >= lost:
            receiver.sendto(packet, sender)
        received += 1

    asyncio.get_running_loop().add_reader(receiver, answer)
    yield
    asyncio.get_running_loop().remove_reader(receiver)


@contextlib.asynccontextmanager
async def running(probe: Probe) -> AsyncIterator[None]:
    task = asyncio.create_task(probe.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_burst_that_is_asked_for_follows_at_once_also_while_the_probe_is_off(enabled: bool) -> None:
    with udp_socket() as receiver:
        probe = probe_on(receiver, 60, reachable=True, enabled=enabled)
        async with answering(receiver), running(probe):
            await asyncio.sleep(30)
            began = asyncio.get_running_loop().time()
            counts = await probe.burst()
            assert (counts.sent, counts.answered) == (PACKETS_PER_BURST, PACKETS_PER_BURST)
            assert asyncio.get_running_loop().time() - began < 2


async def test_packets_that_do_not_come_back_are_lost_after_a_second() -> None:
    with udp_socket() as receiver:
        probe = probe_on(receiver, 60, reachable=True)
        async with answering(receiver, lost=3), running(probe):
            counts = await probe.burst()
            assert (counts.sent, counts.answered) == (PACKETS_PER_BURST, PACKETS_PER_BURST - 3)


async def test_a_burst_that_is_not_waited_for_any_more_is_forgotten_while_no_port_is_free() -> None:
    with udp_socket() as receiver:
        probe = probe_on(receiver, 60, reachable=True, free=False)
        async with running(probe):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await probe.burst()
            assert probe._waiting == []

"""Packets on request, for `helm test`: through the relay to its echo, and from its process to the node's own echo."""

from __future__ import annotations

import asyncio
import socket

from rtppool_core.contract.packet_check import Burst, PacketCheck
from rtppool_core.net.echo_check import check
from rtppool_core.net.udp import family_of, host_port
from rtppool_core.units import NS_PER_US
from rtppool_relay.ports.echo_resolver import EchoResolver
from rtppool_relay.ports.probe import PACKETS_PER_BURST, Probe

MAX_BURST_SECONDS = 5.0
ANSWER_SECONDS = 1.0


class PacketChecks:
    """Runs one check at a time. Requests that arrive meanwhile share the next one, so that a flood sends no flood.

    `node_echo` is the address of the node's own echo, None where it is not known.
    """

    def __init__(self, node: str, probe: Probe, resolver: EchoResolver, node_echo: tuple[str, int] | None) -> None:
        self._node = node
        self._probe = probe
        self._resolver = resolver
        self._node_echo = node_echo
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[PacketCheck] | None = None

    async def run(self) -> PacketCheck:
        """Send packets on both ways from now on, and return the answers."""
        if self._next is None:
            self._next = asyncio.create_task(self._check())
        return await asyncio.shield(self._next)

    async def _check(self) -> PacketCheck:
        async with self._turn:
            self._next = None
            through_relay = await self._through_relay()
            own = None if self._node_echo is None else await asyncio.to_thread(_to_echo, *self._node_echo)
        return PacketCheck(self._node, through_relay, own)

    async def _through_relay(self) -> Burst:
        target = str(self._resolver.target)
        try:
            async with asyncio.timeout(MAX_BURST_SECONDS):
                counts = await self._probe.burst()
        except TimeoutError:
            no_port = f"no port was free for the probe within {MAX_BURST_SECONDS:g} s"
            return Burst(target, problem=self._resolver.reason or no_port)
        # The probe reads answers every 20 ms. The round trips of its packets are in the pool's status.
        return Burst(target, counts.sent, counts.answered)


def _to_echo(host: str, port: int) -> Burst:
    target = host_port(host, port)
    try:
        with socket.socket(family_of(host), socket.SOCK_DGRAM) as sock:
            sock.connect((host, port))
            outcome = check(sock, PACKETS_PER_BURST, ANSWER_SECONDS)
    except OSError as error:
        return Burst(target, problem=error.strerror or str(error))
    median_ns = outcome.median_ns
    median_us = None if median_ns is None else round(median_ns / NS_PER_US)
    return Burst(target, outcome.sent, outcome.answered, median_us, outcome.error or None)

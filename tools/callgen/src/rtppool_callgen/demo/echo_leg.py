"""The leg between relay and echo: direct, or through a hop that delays and loses packets.

The relay gets the hop's port as the operator would give it another echo: by its file of pools. Live calls go on.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

from rtppool_callgen.local.processes import Child, start
from rtppool_callgen.local.system import LOOPBACK, NODE, LocalSystem
from rtppool_core.contract.pools_file import EchoTarget, NodeAssignment, PoolEntry, PoolsDocument, encode
from rtppool_core.contract.port_range import PortRange

POOL = "make-run"
# The relay reads its file five times a second, and answers to packets on their way still come.
OVERLAP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Impairment:
    """What the hop does. Without any, relay and echo are connected directly."""

    delay_milliseconds: int = 0
    loss_per_cent: int = 0


class EchoLeg:
    """The echo leg of a local system whose relay reads `pools_file`."""

    def __init__(self, system: LocalSystem, pools_file: Path) -> None:
        self._system = system
        self._pools_file = pools_file
        self._generation = 0
        self._hop: Child | None = None
        self.impairment = Impairment()

    async def impair(self, impairment: Impairment) -> None:
        """Put a hop with this impairment into the leg, in the place of the former one, or take it out."""
        former, self._hop = self._hop, None
        port = self._system.echo_port
        if impairment != Impairment():
            self._hop, port = self._start_hop(impairment)
        self._give_relay(port)
        self.impairment = impairment
        if former is not None:
            await asyncio.sleep(OVERLAP_SECONDS)
            await former.end()

    async def close(self) -> None:
        """End the hop."""
        if self._hop is not None:
            await self._hop.end()

    def check(self) -> None:
        """Raise when the hop has ended.

        Raises:
            ChildFailed: it has.
        """
        if self._hop is not None:
            self._hop.check()

    def _start_hop(self, impairment: Impairment) -> tuple[Child, int]:
        # Bound before the hop runs, so that no packet is refused meanwhile.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as entrance:
            entrance.bind((LOOPBACK, 0))
            words = (self._system.echo_port, impairment.delay_milliseconds, impairment.loss_per_cent)
            arguments = ["rtppool_callgen.demo.hop", *map(str, words)]
            hop = start("hop", arguments, {}, self._pools_file.parent, standard_input=entrance.fileno())
            return hop, int(entrance.getsockname()[1])

    def _give_relay(self, echo_port: int) -> None:
        self._generation += 1
        entry = PoolEntry(
            name=POOL,
            namespace="local",
            uid=POOL,
            generation=self._generation,
            nodes=(NodeAssignment(NODE),),
            port_range=PortRange.parse(self._system.port_range),
            echo=EchoTarget(LOOPBACK, echo_port),
        )
        written = self._pools_file.with_suffix(".new")
        written.write_text(encode(PoolsDocument((entry,))), encoding="utf-8")
        written.replace(self._pools_file)

"""A relay under the load generator: its CPU time, and the fate of every packet."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from lab.base.proc import cpu_ns
from lab.bench.load.load import Load
from lab.bench.load.load_generator import load_generator
from lab.bench.session import Session
from lab.bench.subjects.echoes import reference_echo
from lab.bench.subjects.relays import StartRelay

PACKETS_PER_TRIP = 2  # one towards the echo, one back
NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class Traffic:
    """A load through a relay. `cpu_us_per_packet` is by role of the process, per forwarded packet, in µs."""

    load: Load
    cpu_us_per_packet: dict[str, float]

    @property
    def whole(self) -> float:
        """The CPU time of all processes of the relay."""
        return sum(self.cpu_us_per_packet.values())


async def through(session: Session, start: StartRelay, calls: int, seconds: float) -> Traffic:
    """Start echo, generator and relay, and measure. The echo in C costs every relay the same."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(reference_echo(session.programs))
        generator = await stack.enter_async_context(
            load_generator(session.programs.load, session.folder, calls, seconds)
        )
        relay = await stack.enter_async_context(start(generator.ports, session.folder))
        await generator.connect(relay.peers)
        await generator.until_warm()
        before = {role: cpu_ns(pids) for role, pids in relay.processes().items()}
        await generator.until_sent()
        after = {role: cpu_ns(pids) for role, pids in relay.processes().items()}
        load = await generator.result()
    packets = max(1, load.returned * PACKETS_PER_TRIP)
    return Traffic(load, {role: (after[role] - before[role]) / NS_PER_US / packets for role in after})

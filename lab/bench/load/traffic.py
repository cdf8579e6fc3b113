"""A relay under the load generator: its CPU time, and the fate of every packet."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from lab.base.proc import cpu_ns, resident_bytes
from lab.bench.load.load import Load
from lab.bench.load.load_generator import load_generator
from lab.bench.session import Session
from lab.bench.subjects.echoes import reference_echo
from lab.bench.subjects.relays import StartRelay

PACKETS_PER_TRIP = 2  # one towards the echo, one back
NS_PER_US = 1000
BYTES_PER_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Traffic:
    """A load through a relay, by role of its processes.

    `cpu_us_per_packet` is the CPU time per forwarded packet in µs. `resident_mib` has the memory (RSS) of each process
    at the end of the load, in MiB.
    """

    load: Load
    cpu_us_per_packet: dict[str, float]
    resident_mib: dict[str, list[float]]

    @property
    def whole(self) -> float:
        """The CPU time of all processes of the relay."""
        return sum(self.cpu_us_per_packet.values())

    @property
    def whole_resident_mib(self) -> float:
        """The memory of all processes of the relay, with shared pages counted for each."""
        return sum(sum(each) for each in self.resident_mib.values())


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
        resident = {
            role: [resident_bytes(pid) / BYTES_PER_MIB for pid in pids] for role, pids in relay.processes().items()
        }
        load = await generator.result()
    packets = max(1, load.returned * PACKETS_PER_TRIP)
    return Traffic(load, {role: (after[role] - before[role]) / NS_PER_US / packets for role in after}, resident)

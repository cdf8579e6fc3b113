"""The load generator `reference/load.c`: it binds its ports, gets those of its peers, then sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.bench.load.load import Load, read_load
from lab.bench.places import FIRST_LOAD_PORT
from lab.bench.programs.reference_process import ReferenceProcess, running

WARM_UP_SECONDS = 1.0
SLACK_SECONDS = 20.0
SEED = 20240607


@dataclass(slots=True)
class LoadGenerator:
    """A generator with bound sockets that waits for its peers."""

    ports: Sequence[int]
    seconds: float
    warm_up_seconds: float
    _process: ReferenceProcess
    _records: Path

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def connect(self, peers: Sequence[int]) -> int:
        """Start sending each call to its peer; return the wall clock at the start, in ns."""
        if len(peers) != len(self.ports):
            raise LabError(f"{len(self.ports)} calls, but {len(peers)} ports of peers")
        self._process.send(" ".join(map(str, peers)))
        (began_ns,) = await self._process.expect("began")
        return int(began_ns)

    async def until_warm(self) -> None:
        """Wait for the end of the warm-up."""
        await self._process.expect("measuring", self.warm_up_seconds + SLACK_SECONDS)

    async def until_sent(self) -> None:
        """Wait until all packets are sent."""
        await self._process.expect("measured", self.seconds + SLACK_SECONDS)

    def stop(self) -> None:
        """Stop sending."""
        self._process.send("")

    async def result(self) -> Load:
        """Wait for the last answers and return the result."""
        summary = await self._process.json()
        try:
            return read_load(self._records, summary)
        finally:
            self._records.unlink()


@asynccontextmanager
async def load_generator(
    program: Path,
    folder: Path,
    calls: int,
    seconds: float,
    warm_up_seconds: float = WARM_UP_SECONDS,
    seed: int = SEED,
    first_port: int = FIRST_LOAD_PORT,
) -> AsyncIterator[LoadGenerator]:
    """Run a generator of this many calls for the length of the block."""
    records = folder / f"load-{first_port}.records"
    arguments = (calls, first_port, seconds, warm_up_seconds, seed, records)
    async with running(program, *arguments) as process:
        first, last = await process.expect("ports")
        yield LoadGenerator(range(int(first), int(last) + 1), seconds, warm_up_seconds, process, records)

"""The run's side of simulated relays in a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lab.base.errors import LabError
from lab.base.places import inherited_variables
from lab.base.processes import Process
from lab.base.waiting import wait_until
from lab.faults.operator.api.api_client import Server
from lab.faults.operator.api.api_server import Account
from lab.faults.operator.relays.fake_relay import Mode
from lab.faults.operator.relays.fake_relays import EditTimes
from rtppool_core.contract.codec import from_json
from rtppool_core.contract.pools_file import PoolEntry

START_SECONDS = 30.0
COMMAND_SECONDS = 300.0
MAX_ANSWER_BYTES = 16 << 20
SOCKET = "relays.socket"


class Counts(msgspec.Struct, frozen=True):
    """Counters since the last reset. `requests` and whole `reports` are by relay, `config_bytes` is the file's size.

    `longest_stall_seconds` is the longest time by which the simulation was late.
    """

    requests: tuple[int, ...]
    reports: tuple[int, ...]
    most_in_flight: int
    held: int
    longest_stall_seconds: float
    config_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class RemoteRelay:
    """The state of a relay of the other process, which has no fault and no calls."""

    pod: str
    node: str
    entry: PoolEntry | None
    mode: Mode = "well"
    active_calls: int = 0
    echo_reachable: bool = True


@dataclass(frozen=True, slots=True)
class States:
    """All relays, and `pools.json` (None without the file)."""

    relays: tuple[RemoteRelay, ...]
    config: str | None


class RemoteRelays:
    """Simulated relays in another process. Commands run one after the other."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self.port = 0

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def add(self, nodes: Mapping[str, Mapping[str, str]]) -> None:
        """Create nodes with these labels, each with a relay."""
        await self.command("add", nodes=nodes)

    async def forget_polls(self) -> None:
        """Reset the counters."""
        await self.command("forget_polls")

    async def counts(self) -> Counts:
        """Return the counters since the last reset."""
        return msgspec.convert(await self.command("counts"), Counts)

    async def edit_times(self, uid: str, generation: int, since_seconds: float) -> EditTimes:
        """Return the times of an edit; see `FakeRelays.edit_times`."""
        return EditTimes(
            **await self.command("edit_times", uid=uid, generation=generation, since_seconds=since_seconds)
        )

    async def states(self) -> States:
        """Return the state of all relays."""
        found = await self.command("states")
        entries = {key: from_json(PoolEntry, each) for key, each in found["entries"].items()}
        relays = (RemoteRelay(pod, node, entries.get(key)) for pod, node, key in found["relays"])
        return States(tuple(relays), found["config"])

    async def move(self, relays: int, seconds: float) -> None:
        """Change the calls of so many relays for a time, and end all calls after it."""
        await self.command("move", relays=relays, seconds=seconds)

    async def end(self) -> None:
        """End the process."""
        await self._process.end()

    async def command(self, name: str, **arguments: Any) -> Any:
        """Run a command in the other process and return its result.

        Raises:
            LabError: the command fails, or the process does not answer.
        """
        async with self._turn:
            self._writer.write(msgspec.json.encode({"command": name, **arguments}) + b"\n")
            try:
                async with asyncio.timeout(COMMAND_SECONDS):
                    line = await self._reader.readline()
            except ConnectionError:
                line = b""
            except TimeoutError as error:
                raise LabError(f"the simulated relays have not done {name} in {COMMAND_SECONDS:.0f} s") from error
        if not line:
            raise LabError(f"the simulated relays ended at {name}:\n{self._process.tail()}")
        answer = msgspec.json.decode(line)
        if "error" in answer:
            raise LabError(f"the simulated relays at {name}: {answer['error']}")
        return answer["result"]


@contextlib.asynccontextmanager
async def remote_relays(
    folder: Path, server: Server, certificate: Path | None, account: Account, seed: int, answer_seconds: float
) -> AsyncIterator[RemoteRelays]:
    """Run simulated relays of an API server for the length of the block; `folder` gets their log.

    Raises:
        LabError: they cannot be started.
    """
    place = folder / SOCKET
    process = Process(
        "the simulated relays",
        [sys.executable, "-m", "lab.faults.operator.relays.simulator", place],
        inherited_variables(),
        folder / "relays.log",
    )
    try:
        await wait_until("the simulated relays listen", lambda: _is_there(process, place), START_SECONDS)
        reader, writer = await asyncio.open_unix_connection(place, limit=MAX_ANSWER_BYTES)
        relays = RemoteRelays(process, reader, writer)
        relays.port = await relays.command(
            "start",
            url=server.url,
            certificate=None if certificate is None else str(certificate),
            token=account.token,
            seed=seed,
            answer_seconds=answer_seconds,
        )
        yield relays
        writer.close()
    finally:
        await process.end()


def _is_there(process: Process, place: Path) -> bool:
    process.check()
    return place.exists()

"""Simulated relays as a process of their own, so that their cost is not that of the run which measures.

Run as `python -m lab.faults.operator.relays.simulator SOCKET`. The run connects to the Unix socket and sends commands.
Each is a line of JSON with the command's name and its arguments, and has one line of JSON as its answer.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from lab.faults.operator.api.api_client import ApiClient, ApiRefused, ApiUnavailable, Endpoint
from lab.faults.operator.api.api_server import Account
from lab.faults.operator.relays.fake_relays import FakeRelays
from lab.faults.operator.relays.relay_report import draw_histograms
from rtppool_core.contract.codec import to_json

# The simulation gives way to the operator, the API server and etcd, which share the machine's processors.
NICE = 5
MAX_COMMAND_BYTES = 4 << 20
MAX_CALLS = 50
MOVE_SECONDS = 0.2
STALL_CHECK_SECONDS = 0.05
# Each step moves the calls of a quarter of the relays.
MOVING_SHARE = 4

Command = Callable[..., Awaitable[Any]]


class Simulator:
    """The commands of one run."""

    def __init__(self) -> None:
        self._api: ApiClient | None = None
        self._relays: FakeRelays | None = None
        self._chance = random.Random()
        self._longest_stall_seconds = 0.0
        self._checks: asyncio.Task[None] | None = None

    @property
    def commands(self) -> dict[str, Command]:
        """The commands by name."""
        return {
            each.__name__: each
            for each in (self.start, self.add, self.forget_polls, self.counts, self.edit_times, self.states, self.move)
        }

    async def start(self, url: str, certificate: str | None, token: str, seed: int, answer_seconds: float) -> int:
        """Start listening as relays of this API server, and return the port."""
        draw_histograms()
        endpoint = Endpoint(url, None if certificate is None else Path(certificate))
        self._chance = random.Random(seed)
        self._api = ApiClient(endpoint, Account("administrator", (), token))
        self._relays = FakeRelays(self._api, self._chance, answer_seconds)
        await self._relays.start()
        self._checks = asyncio.create_task(self._check_stalls())
        return self._relays.port

    async def close(self) -> None:
        """Stop listening."""
        if self._checks is not None:
            self._checks.cancel()
        if self._relays is not None:
            await self._relays.close()
        if self._api is not None:
            await self._api.close()

    async def add(self, nodes: dict[str, dict[str, str]]) -> None:
        """Create nodes with these labels, each with a relay."""
        await self._running.add(nodes.items())

    async def forget_polls(self) -> None:
        """Reset the counters."""
        self._running.forget_polls()
        self._longest_stall_seconds = 0.0

    async def counts(self) -> dict[str, Any]:
        """Return the counters since the last reset, and the size of `pools.json`."""
        relays = self._running
        return {
            "requests": [relay.polls for relay in relays.by_node.values()],
            "reports": [relay.answers for relay in relays.by_node.values()],
            "most_in_flight": relays.load.most_in_flight,
            "held": relays.held,
            "longest_stall_seconds": self._longest_stall_seconds,
            "config_bytes": len((relays.config or "").encode()),
        }

    async def edit_times(self, uid: str, generation: int, since_seconds: float) -> dict[str, float | None]:
        """Return the times of an edit (monotonic seconds, which all processes share)."""
        return asdict(self._running.edit_times(uid, generation, since_seconds))

    async def states(self) -> dict[str, Any]:
        """Return `pools.json`, the state of each relay, and the pool entries that relays run."""
        relays = self._running.by_node.values()
        entries = {f"{each.entry.uid}/{each.entry.generation}": each.entry for each in relays if each.entry is not None}
        return {
            "config": self._running.config,
            "entries": {key: to_json(entry) for key, entry in entries.items()},
            "relays": [
                (relay.pod, relay.node, relay.entry and f"{relay.entry.uid}/{relay.entry.generation}")
                for relay in relays
            ],
        }

    async def move(self, relays: int, seconds: float) -> None:
        """Change the calls of so many relays for a time, and end all calls after it."""
        running, end = self._running, time.monotonic() + seconds
        moving = self._chance.sample(list(running.by_node.values()), relays)
        while time.monotonic() < end:
            for relay in self._chance.sample(moving, len(moving) // MOVING_SHARE):
                relay.active_calls = self._chance.randint(0, MAX_CALLS)
                running.render(relay)
                await asyncio.sleep(0)
            await asyncio.sleep(MOVE_SECONDS)
        for relay in moving:
            relay.active_calls = 0
            running.render(relay)

    async def _check_stalls(self) -> None:
        """Measure how late a timer is at most: so late is an answer."""
        while True:
            due_seconds = time.monotonic() + STALL_CHECK_SECONDS
            await asyncio.sleep(STALL_CHECK_SECONDS)
            self._longest_stall_seconds = max(self._longest_stall_seconds, time.monotonic() - due_seconds)

    @property
    def _running(self) -> FakeRelays:
        if self._relays is None:
            raise ValueError("the relays were not started")
        return self._relays


async def serve(simulator: Simulator, place: Path) -> None:
    """Run the commands of one connection until it ends."""
    ended = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await _outcome(simulator, line)) + b"\n")
                await writer.drain()
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_unix_server(connected, place, limit=MAX_COMMAND_BYTES)
    async with server:
        await ended.wait()
    await simulator.close()


async def _outcome(simulator: Simulator, line: bytes) -> dict[str, Any]:
    command = msgspec.json.decode(line)
    try:
        return {"result": await simulator.commands[command.pop("command")](**command)}
    except (ApiUnavailable, ApiRefused, ValueError) as error:
        return {"error": str(error)}


if __name__ == "__main__":
    os.nice(NICE)
    asyncio.run(serve(Simulator(), Path(sys.argv[1])))

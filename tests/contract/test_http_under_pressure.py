"""HTTP of the programs as processes: idle connections by the thousand, and descriptors that ran out."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from rtppool_testing.ports import LOOPBACK, free_port
from rtppool_testing.waiting import until

IDLE_CONNECTIONS = 10_000
PROBES = 100
# `make chaos` holds answers to a second. Here other tests share the machine.
PATIENCE_SECONDS = 20.0
MAX_LINES_A_MINUTE = 10
# Of this process, beside the connections.
OTHER_DESCRIPTORS = 500
PROGRAMS = ("rtppool_echo", "rtppool_relay")
PAGES: dict[str, tuple[str, ...]] = {
    "rtppool_echo": ("/health", "/ready", "/metrics"),
    "rtppool_relay": ("/health", "/ready", "/metrics", "/status", "/sla", "/calls"),
}


@dataclass(slots=True)
class Program:
    """One program, which listens for HTTP on every address."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    async def check(self, path: str) -> None:
        """Check the answer on a connection of its own. A relay without a bound port is not ready."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(self.url(path)) as answer:
            assert answer.status == 200 or path == "/ready"
            await answer.read()

    async def is_ready(self) -> bool:
        try:
            async with aiohttp.ClientSession() as http, http.get(self.url("/ready")) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def url(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self.port}{path}"

    def lines(self) -> int:
        return self.log.read_text().count("\n")

    def use_up_descriptors(self) -> None:
        """Lower the limit of open files to the first number that is free."""
        used = {int(each.name) for each in Path(f"/proc/{self.process.pid}/fd").iterdir()}
        free = next(number for number in range(len(used) + 1) if number not in used)
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (free, hard))


@asynccontextmanager
async def running(module: str, folder: Path, descriptor_limit: int) -> AsyncIterator[Program]:
    port, first, log = free_port(), free_port(), folder / f"{module}.log"
    variables = {
        **os.environ,
        "HTTP_PORT": str(port),
        "ECHO_BIND": LOOPBACK,
        "BIND_IP": LOOPBACK,
        "ECHO_PORT": str(free_port()),
        "PORT_RANGE": f"{first}-{first}",
        "POOL_CONFIG": "/nowhere/pools.json",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("prlimit", f"--nofile={descriptor_limit}:{descriptor_limit}", sys.executable, "-m", module),
            env=variables,
            stdout=output,
            stderr=output,
        )
    program = Program(process, port, log)
    try:
        await until(program.is_ready, f"{module} is ready")
        yield program
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """Raise this process's limit. The value is the number of connections that it can hold."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield min(IDLE_CONNECTIONS, before[1] - OTHER_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("descriptor_limit", [1024, 256])
@pytest.mark.parametrize("module", PROGRAMS)
async def test_10000_idle_connections_delay_no_probe_and_write_few_lines(
    module: str, descriptor_limit: int, many_descriptors: int, tmp_path: Path
) -> None:
    async with running(module, tmp_path, descriptor_limit) as program:
        lines = program.lines()
        loop = asyncio.get_running_loop()
        held: list[socket.socket] = []
        try:
            for _ in range(many_descriptors):
                client = socket.socket()
                client.setblocking(False)
                held.append(client)
                await loop.sock_connect(client, (LOOPBACK, program.port))
            for _ in range(PROBES):
                await program.check("/health")
                await program.check("/ready")
        finally:
            for client in held:
                client.close()
        assert program.lines() - lines < MAX_LINES_A_MINUTE


@pytest.mark.parametrize("module", PROGRAMS)
async def test_every_page_answers_while_the_program_has_no_descriptor_left(module: str, tmp_path: Path) -> None:
    async with running(module, tmp_path, 1024) as program:
        program.use_up_descriptors()
        for _ in range(PROBES):
            for path in PAGES[module]:
                await program.check(path)
        assert "out of system resource" not in program.log.read_text()
        assert "Traceback" not in program.log.read_text()

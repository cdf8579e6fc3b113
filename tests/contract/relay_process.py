"""A relay as a process of its own, its callers at the stand-in, and an echo: for tests that send it real signals."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.contract.port_range import PortRange

# Processes are started, on a machine that may have much else to do.
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.02
LOOPBACK = "127.0.0.1"
APPLICATION = "rtp-pool"
NODE = "node-1"


class Echo(asyncio.DatagramProtocol):
    """Sends back what comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data, address)


@asynccontextmanager
async def echo(host: str = LOOPBACK) -> AsyncIterator[int]:
    """An echo; its port."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=(host, 0))
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def free_range(size: int, host: str = LOOPBACK, beside: PortRange | None = None) -> PortRange:
    """UDP ports in a row that nobody holds right now, none of `beside`; two runs at a time look in different places."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    starts = list(range(21000, 31000, size))
    random.shuffle(starts)
    for start in starts:
        if beside is not None and start <= beside.end and start + size > beside.start:
            continue
        try:
            for port in range(start, start + size):
                with socket.socket(family, socket.SOCK_DGRAM) as trial:
                    trial.bind((host, port))
        except OSError:
            continue
        return PortRange(start, start + size - 1)
    raise AssertionError("no free ports")


def free_tcp_port() -> int:
    """A TCP port that nobody holds right now."""
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return int(trial.getsockname()[1])


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll until it is so."""
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {WAIT_SECONDS:.0f} s: {what}")
        await asyncio.sleep(POLL_SECONDS)


def relay_settings(stand_in: StandIn, echo_port: int, ports: PortRange, **others: str) -> dict[str, str]:
    """The environment of a relay at the stand-in."""
    return {
        "ARI_URL": stand_in.url,
        "ARI_USER": "relay",
        "ARI_PASS": "secret",
        "APP_NAME": APPLICATION,
        "NODE_NAME": NODE,
        "BIND_IP": LOOPBACK,
        "ADVERTISE_IP": LOOPBACK,
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(free_tcp_port()),
        "ECHO_PORT": str(echo_port),
        "PORT_RANGE": str(ports),
        "POOL_CONFIG": "/nowhere/pools.json",
        "METRICS_INTERVAL_SEC": "0.2",
        # Twenty callers, their echo and this process share the machine with whatever else runs there.
        "ADMISSION": "off",
        **others,
    }


@dataclass(slots=True)
class RelayProcess:
    """`python -m rtppool_relay`."""

    process: asyncio.subprocess.Process
    settings: Mapping[str, str]
    log: Path

    async def get(self, path: str) -> Any:
        """JSON of one of its pages; None while it does not answer."""
        url = f"http://{LOOPBACK}:{self.settings['HTTP_PORT']}{path}"
        try:
            async with aiohttp.ClientSession() as http, http.get(url) as response:
                return await response.json()
        except aiohttp.ClientError:
            return None

    async def calls(self) -> dict[str, Any]:
        """The counts of calls; empty while it does not answer."""
        status = await self.get("/status")
        return dict(status["calls"]) if status else {}

    async def connected(self) -> bool:
        """Whether it takes calls."""
        status = await self.get("/status")
        return bool(status) and status["ari"]["state"] == "Connected" and bool(status["echo"].get("resolvedAddress"))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def exit_code(self) -> int:
        """Wait for its end."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def relay_process(settings: Mapping[str, str], log: Path) -> AsyncIterator[RelayProcess]:
    """Started; at the end it is killed, if it is still there."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rtppool_relay"), env=kept | dict(settings), stdout=file, stderr=file
        )
    try:
        yield RelayProcess(process, settings, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def talking(stand_in: StandIn, callers: list[str], packets: int = 10) -> None:
    """Wait until so many more packets came back to each."""
    wanted = {caller: stand_in.packets(caller)[1] + packets for caller in callers}
    await until(
        lambda: all(stand_in.packets(caller)[1] >= count for caller, count in wanted.items()),
        f"{packets} more packets back at every caller",
    )

"""A relay as a process of its own, with callers at the stand-in, for tests that send real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.contract.port_range import PortRange
from rtppool_testing.ports import LOOPBACK, free_port
from rtppool_testing.waiting import until

# Processes start on a busy machine.
WAIT_SECONDS = 60.0
APPLICATION = "rtp-pool"
NODE = "node-1"


def relay_settings(stand_in: StandIn, echo_port: int, ports: PortRange, **others: str) -> dict[str, str]:
    """Return the environment of a relay at the stand-in."""
    return {
        "ARI_URL": stand_in.url,
        "ARI_USER": "relay",
        "ARI_PASS": "secret",
        "APP_NAME": APPLICATION,
        "NODE_NAME": NODE,
        "BIND_IP": LOOPBACK,
        "ADVERTISE_IP": LOOPBACK,
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(free_port()),
        "ECHO_PORT": str(echo_port),
        "PORT_RANGE": str(ports),
        "POOL_CONFIG": "/nowhere/pools.json",
        "METRICS_INTERVAL_SEC": "0.2",
        # Twenty callers, their echo and this process share the machine with other programs.
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
        """Return the JSON of a page, or None while the relay does not answer."""
        url = f"http://{LOOPBACK}:{self.settings['HTTP_PORT']}{path}"
        try:
            async with aiohttp.ClientSession() as http, http.get(url) as response:
                return await response.json()
        except aiohttp.ClientError:
            return None

    async def calls(self) -> dict[str, Any]:
        """Return the counts of calls, empty while the relay does not answer."""
        status = await self.get("/status")
        return dict(status["calls"]) if status else {}

    async def connected(self) -> bool:
        """Return whether the relay takes calls."""
        status = await self.get("/status")
        return bool(status) and status["ari"]["state"] == "Connected" and bool(status["echo"].get("resolvedAddress"))

    def signal(self, number: signal.Signals) -> None:
        """Send the relay a signal."""
        self.process.send_signal(number)

    async def exit_code(self) -> int:
        """Wait for the relay's end and return its exit code."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def relay_process(settings: Mapping[str, str], log: Path) -> AsyncIterator[RelayProcess]:
    """Run a relay. One that still runs at the end is killed."""
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
    """Wait until this many more packets came back to each caller."""
    wanted = {caller: stand_in.packets(caller)[1] + packets for caller in callers}
    await until(
        lambda: all(stand_in.packets(caller)[1] >= count for caller, count in wanted.items()),
        f"{packets} more packets back at every caller",
    )

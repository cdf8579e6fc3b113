"""The relay and the echo of the rig: how they are started, and what the relay says of itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from lab.faults.calls.errors import ChaosError
from lab.faults.calls.places import ECHO_HTTP_PORT, ECHO_PORT, LOOPBACK, RELAY_HTTP_PORT
from lab.faults.calls.rig.asterisk import USER
from lab.faults.calls.rig.rooted import bound_to_us

APPLICATION = "rtp-pool"
NODE = "chaos"
MEDIA_MODULE = "rtppool_relay.packets.process"


def relay_command() -> list[str]:
    """How a relay is started."""
    return [*bound_to_us(), sys.executable, "-m", "rtppool_relay"]


def compile_ahead() -> None:
    """Compile what a relay's first start would compile: what is measured here is the relay, not the compiler.

    Raises:
        ChaosError: it does not compile; what was said stands above.
    """
    done = subprocess.run([sys.executable, "-m", "rtppool_relay.packets.compile_ahead"], env=_kept(), check=False)
    if done.returncode != 0:
        raise ChaosError("the relay's packet path does not compile; what is missing is said above")


def echo_command() -> list[str]:
    """How an echo is started."""
    return [*bound_to_us(), sys.executable, "-m", "rtppool_echo"]


def relay_environment(ari_port: int, password: str, port_range: str) -> dict[str, str]:
    """Everything at its default but addresses and ports."""
    return {
        **_kept(),
        "ARI_URL": f"http://{LOOPBACK}:{ari_port}/ari",
        "ARI_USER": USER,
        "ARI_PASS": password,
        "NODE_NAME": NODE,
        "BIND_IP": LOOPBACK,
        "ADVERTISE_IP": LOOPBACK,
        "PORT_RANGE": port_range,
        "ECHO_HOST": LOOPBACK,
        "ECHO_PORT": str(ECHO_PORT),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(RELAY_HTTP_PORT),
        "LOG_FORMAT": "json",
        "DRAIN_GRACE_SEC": "0",
    }


def echo_environment() -> dict[str, str]:
    """The same for the echo."""
    return {
        **_kept(),
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(ECHO_PORT),
        "ECHO_ALLOW": "127.0.0.0/8",
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(ECHO_HTTP_PORT),
    }


def _kept() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}


@dataclass(frozen=True, slots=True)
class Record:
    """A call's end as the relay has logged it. `packets` were sent to the echo, `answered` came back, `lost` did not.

    `late` is of the relay's and the echo's making. `p50_microseconds` is of round trips, None without any.
    """

    sip_call_id: str | None
    ended_by: str | None
    refused: str | None
    adopted: bool
    packets: int
    answered: int
    lost: int = 0
    late: int = 0
    source_lost: int = 0
    setup_milliseconds: int | None = None
    p50_microseconds: int | None = None


def records_of(log: str) -> tuple[Record, ...]:
    """Read the records out of a relay's log in JSON; other lines are nobody's."""
    return tuple(_record(line) for line in _json_lines(log) if line.get("message") == "call ended")


def tracebacks_of(log: str) -> list[str]:
    """What the relay did not expect: lines with a traceback, or raw ones of a process that broke."""
    told = [f"{line['message']}\n{line['traceback']}" for line in _json_lines(log) if "traceback" in line]
    return [*told, *(line for line in log.splitlines() if line.startswith("Traceback"))]


def _json_lines(log: str) -> Iterable[Mapping[str, Any]]:
    for line in log.splitlines():
        if line.startswith("{"):
            try:
                document = json.loads(line)
            except ValueError:
                continue  # the last line of a process that was killed while it wrote
            if isinstance(document, dict):
                yield document


def _record(line: Mapping[str, Any]) -> Record:
    return Record(
        sip_call_id=line.get("sipCallId"),
        ended_by=line.get("endedBy"),
        refused=line.get("refused"),
        adopted=bool(line.get("adopted")),
        packets=line.get("packets") or 0,
        answered=line.get("answered") or 0,
        lost=line.get("lost") or 0,
        late=(line.get("lateRelay") or 0) + (line.get("lateEcho") or 0),
        source_lost=line.get("sourceLost") or 0,
        p50_microseconds=line.get("p50Microseconds"),
        setup_milliseconds=line.get("setupMilliseconds"),
    )


class RelayView:
    """Asks the relay over HTTP, and the machine about its processes and ports."""

    def __init__(self) -> None:
        self._http = aiohttp.ClientSession(
            base_url=f"http://{LOOPBACK}:{RELAY_HTTP_PORT}",
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=2),
        )

    async def status(self) -> dict[str, Any] | None:
        """`/status`; None while there is none."""
        return await self._get("/status")

    async def calls(self) -> list[dict[str, Any]]:
        """The live ones of `/calls`; empty while nothing answers."""
        document = await self._get("/calls")
        return [] if document is None else document["live"]

    async def ready(self) -> bool:
        """Whether `/ready` says so."""
        try:
            async with self._http.get("/ready") as response:
                return response.ok
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def close(self) -> None:
        """Give up the connections."""
        await self._http.close()

    async def _get(self, path: str) -> dict[str, Any] | None:
        try:
            async with self._http.get(path) as response:
                response.raise_for_status()
                document: dict[str, Any] = await response.json()
                return document
        except (aiohttp.ClientError, TimeoutError):
            return None


def media_pids(control_pid: int) -> list[int]:
    """The media processes of a relay, the one that stands by included."""
    children = [
        int(child)
        for task in Path(f"/proc/{control_pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [pid for pid in children if MEDIA_MODULE in _command_line(pid)]


def udp_ports_bound(first: int, last: int, text: str) -> list[int]:
    """Local ports within the range that sockets of this machine hold, one entry each; `text` is /proc/net/udp."""
    ports = [int(match[1], 16) for match in re.finditer(r"(?m)^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) ", text)]
    return sorted(port for port in ports if first <= port <= last)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""

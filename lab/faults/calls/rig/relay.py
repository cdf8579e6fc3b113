"""The relay and the echo of the rig: their commands, the relay's records in its log and its answers over HTTP."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from lab.base.places import LOOPBACK, inherited_variables
from lab.base.services import echo_settings, relay_settings
from lab.faults.calls.places import ECHO_HTTP_PORT, ECHO_PORT, RELAY_HTTP_PORT
from lab.faults.calls.rig.asterisk import USER

APPLICATION = "rtp-pool"
NODE = "chaos"


def relay_command() -> list[str]:
    """Return the command of a relay."""
    return [sys.executable, "-m", "rtppool_relay"]


def echo_command() -> list[str]:
    """Return the command of an echo."""
    return [sys.executable, "-m", "rtppool_echo"]


def relay_environment(ari_port: int, password: str, port_range: str) -> dict[str, str]:
    """Return the environment of a relay that logs JSON."""
    settings = relay_settings(
        ari_url=f"http://{LOOPBACK}:{ari_port}/ari",
        user=USER,
        password=password,
        node=NODE,
        ports=port_range,
        echo_port=ECHO_PORT,
        http_port=RELAY_HTTP_PORT,
    )
    return {**inherited_variables(), **settings, "LOG_FORMAT": "json"}


def echo_environment() -> dict[str, str]:
    """Return the environment of an echo."""
    return {**inherited_variables(), **echo_settings(port=ECHO_PORT, http_port=ECHO_HTTP_PORT)}


@dataclass(frozen=True, slots=True)
class Record:
    """A call's record in the relay's log. Of `packets` sent to the echo, `answered` returned and `lost` did not.

    `late` packets were delayed by relay or echo. `p50_microseconds` is the median round trip, None without any.
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
    """Parse the records of ended calls in a relay's JSON log."""
    return tuple(_record(line) for line in _json_lines(log) if line.get("message") == "call ended")


def tracebacks_of(log: str, *, raw: bool = True) -> list[str]:
    """Return the tracebacks of a relay's log: those in its records, and `raw` ones of a process that ended by one."""
    logged = [f"{line['message']}\n{line['traceback']}" for line in _json_lines(log) if "traceback" in line]
    return [*logged, *(line for line in log.splitlines() if raw and line.startswith("Traceback"))]


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
    """A client of the relay's HTTP port."""

    def __init__(self, port: int = RELAY_HTTP_PORT) -> None:
        self._http = aiohttp.ClientSession(
            base_url=f"http://{LOOPBACK}:{port}",
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=2),
        )

    async def status(self) -> dict[str, Any] | None:
        """Return `/status`, or None without an answer."""
        return await self._get("/status")

    async def calls(self) -> list[dict[str, Any]]:
        """Return the live calls of `/calls`; none without an answer."""
        document = await self._get("/calls")
        return [] if document is None else document["live"]

    async def recent_calls(self) -> list[dict[str, Any]]:
        """Return the ended calls of `/calls`; none without an answer."""
        document = await self._get("/calls")
        return [] if document is None else document["recent"]

    async def ready(self) -> bool:
        """Return whether `/ready` is OK."""
        try:
            async with self._http.get("/ready") as response:
                return response.ok
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _get(self, path: str) -> dict[str, Any] | None:
        try:
            async with self._http.get(path) as response:
                response.raise_for_status()
                document: dict[str, Any] = await response.json()
                return document
        except (aiohttp.ClientError, TimeoutError):
            return None


def udp_ports_bound(first: int, last: int, text: str) -> list[int]:
    """Return the local UDP ports of the range that sockets hold, one entry a socket; `text` is /proc/net/udp."""
    ports = [int(match[1], 16) for match in re.finditer(r"(?m)^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) ", text)]
    return sorted(port for port in ports if first <= port <= last)

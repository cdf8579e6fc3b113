"""Preflight over time: reads the host's facts, keeps the latest findings, and logs each change once."""

from __future__ import annotations

import logging
import re
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rtppool_core.contract.port_range import MAX_PORT
from rtppool_core.contract.report import Finding
from rtppool_core.process.periodic import describe_failure, remedy
from rtppool_relay.config import RelayConfig
from rtppool_relay.media.port_sockets import RECEIVE_BUFFER_BYTES
from rtppool_relay.ports.call_ports import CallPorts
from rtppool_relay.ports.preflight import HostFacts, PlannedUse, preflight

log = logging.getLogger(__name__)

PROC = Path("/proc")
EPHEMERAL = "sys/net/ipv4/ip_local_port_range"
RESERVED = "sys/net/ipv4/ip_local_reserved_ports"
RECEIVE_BUFFER_LIMIT = "sys/net/core/rmem_max"
MAX_LINE_CHARACTERS = 1 << 20

Value = TypeVar("Value")


class PreflightWatch:
    """The latest findings. `config` returns the configuration in force.

    `stamps_reason` says why the kernel does not stamp packets, if so. `real_time_expected`: media processes should
    have real-time priority. `host_findings` returns those of taken processor time.
    """

    def __init__(
        self,
        config: Callable[[], RelayConfig],
        call_ports: CallPorts,
        stamps_reason: str | None,
        *,
        in_cluster: bool,
        real_time_expected: bool = False,
        host_findings: Callable[[], tuple[Finding, ...]] = tuple,
    ) -> None:
        self._config = config
        self._call_ports = call_ports
        self._stamps_reason = stamps_reason
        self._in_cluster = in_cluster
        self._real_time_expected = real_time_expected
        self._host_findings = host_findings
        self._of_host: tuple[Finding, ...] = ()
        self._reported: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the host's last check, and those of the addresses now: each caller would meet them."""
        conflict = self._call_ports.family_conflict()
        return self._of_host if conflict is None else (Finding("AddressFamilies", conflict), *self._of_host)

    def check(self) -> None:
        """Read the host's facts and log new and resolved findings. Call it after trial binds and every few seconds."""
        self._of_host = self._find()
        before, self._reported = self._reported, self.findings
        for each in self._reported:
            if each not in before:
                inferred = " (inferred)" if each.inferred else ""
                extra = {"fields": {"code": each.code}, "cause": each.code}
                log.warning("preflight%s: %s", inferred, each.sentence, extra=extra)
        for code in sorted({each.code for each in before} - {each.code for each in self._reported}):
            log.info("preflight: no longer %s", code)

    def _find(self) -> tuple[Finding, ...]:
        config = self._config()
        of_packets = preflight(
            read_host_facts(self._in_cluster),
            PlannedUse(config.port_range, config.excluded_ports, config.echo.port),
            self._call_ports.manager.report(),
            self._call_ports.asterisk,
            self._stamps_reason,
            real_time_refused=self._real_time_expected and not self._call_ports.supervisor.real_time(),
        )
        return of_packets + self._host_findings()


def read_host_facts(in_cluster: bool, proc: Path = PROC) -> HostFacts:
    """Read the host's current facts from a few files and a socket, without blocking."""
    unread: list[str] = []

    def read(name: str, parse: Callable[[str], Value | None], purpose: str) -> Value | None:
        path = proc / name
        try:
            with path.open(encoding="ascii", errors="replace") as file:
                # Each has one line. `read` would allocate as much as it may return.
                value = parse(file.readline(MAX_LINE_CHARACTERS))
            cause = "holds something else than expected"
        except (OSError, MemoryError) as error:
            value, cause = None, describe_failure(error)
        if value is None:
            unread.append(f"{path} could not be read ({cause}): {purpose} is not known")
        return value

    ephemeral = read(EPHEMERAL, parse_range, "whether the kernel gives ports of the pool to other programs")
    reserved = read(RESERVED, parse_ports, "which ports the kernel leaves out of that")
    limit = read(RECEIVE_BUFFER_LIMIT, parse_number, "the limit of receive buffers")
    granted: int | None = None
    try:
        granted = _receive_buffer_bytes()
    except (OSError, MemoryError) as error:
        cause = f"{describe_failure(error)}: {remedy(error)}"
        unread.append(f"a socket's receive buffer could not be read ({cause}): whether it is large enough is not known")
    return HostFacts(
        ephemeral=ephemeral,
        reserved=reserved,
        receive_buffer_asked_bytes=RECEIVE_BUFFER_BYTES,
        receive_buffer_bytes=granted,
        receive_buffer_limit_bytes=limit,
        file_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        in_cluster=in_cluster,
        unread=tuple(unread),
    )


def parse_range(text: str) -> tuple[int, int] | None:
    """Parse the two numbers of ip_local_port_range; return None for anything else."""
    match = re.fullmatch(r"\s*(\d{1,5})\s+(\d{1,5})\s*", text, re.ASCII)
    return (int(match[1]), int(match[2])) if match else None


def parse_ports(text: str) -> frozenset[int] | None:
    """Parse ip_local_reserved_ports (`8080,9148-9150`, or an empty line); return None for anything else."""
    ports: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part, re.ASCII)
        if match is None:
            return None
        ports.update(range(int(match[1]), min(int(match[2] or match[1]), MAX_PORT) + 1))
    return frozenset(ports)


def parse_number(text: str) -> int | None:
    """Parse a number on a line of its own; return None for anything else."""
    return int(text) if re.fullmatch(r"\s*\d{1,12}\s*", text, re.ASCII) else None


def _receive_buffer_bytes() -> int:
    """Return the receive buffer that the kernel grants. It reports twice that size (socket(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

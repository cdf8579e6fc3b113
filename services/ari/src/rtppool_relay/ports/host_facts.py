"""Reads what `preflight` needs to know of this host."""

from __future__ import annotations

import re
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rtppool_core.contract.port_range import MAX_PORT
from rtppool_relay.media.port_sockets import RECEIVE_BUFFER_BYTES
from rtppool_relay.ports.preflight import HostFacts

PROC = Path("/proc")
EPHEMERAL = "sys/net/ipv4/ip_local_port_range"
RESERVED = "sys/net/ipv4/ip_local_reserved_ports"
RECEIVE_BUFFER_LIMIT = "sys/net/core/rmem_max"
MAX_FILE = 1 << 20

Read = TypeVar("Read")


def read_host_facts(in_cluster: bool, proc: Path = PROC) -> HostFacts:
    """What the host says now. It takes some small files and a socket; nothing waits."""
    unread: list[str] = []

    def read(name: str, parse: Callable[[str], Read | None], what_for: str) -> Read | None:
        path = proc / name
        try:
            with path.open(encoding="ascii", errors="replace") as file:
                found = parse(file.read(MAX_FILE))
            why = "holds something else than expected"
        except OSError as error:
            found, why = None, error.strerror or str(error)
        if found is None:
            unread.append(f"{path} could not be read ({why}): {what_for} is not known")
        return found

    ephemeral = read(EPHEMERAL, parse_range, "whether the kernel gives ports of the pool to other programs")
    reserved = read(RESERVED, parse_ports, "which ports the kernel leaves out of that")
    limit = read(RECEIVE_BUFFER_LIMIT, parse_number, "the limit of receive buffers")
    return HostFacts(
        ephemeral=ephemeral,
        reserved=reserved,
        receive_buffer_asked_bytes=RECEIVE_BUFFER_BYTES,
        receive_buffer_bytes=_receive_buffer_bytes(),
        receive_buffer_limit_bytes=limit,
        file_limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        in_cluster=in_cluster,
        unread=tuple(unread),
    )


def parse_range(text: str) -> tuple[int, int] | None:
    """The two numbers of ip_local_port_range; None for anything else."""
    match = re.fullmatch(r"\s*(\d{1,5})\s+(\d{1,5})\s*", text, re.ASCII)
    return (int(match[1]), int(match[2])) if match else None


def parse_ports(text: str) -> frozenset[int] | None:
    """`8080,9148-9150` of ip_local_reserved_ports, or nothing; None for anything else."""
    ports: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part, re.ASCII)
        if match is None:
            return None
        ports.update(range(int(match[1]), min(int(match[2] or match[1]), MAX_PORT) + 1))
    return frozenset(ports)


def parse_number(text: str) -> int | None:
    """A number on a line of its own; None for anything else."""
    return int(text) if re.fullmatch(r"\s*\d{1,12}\s*", text, re.ASCII) else None


def _receive_buffer_bytes() -> int:
    """What the kernel gives when that much is asked for; it counts double (socket(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

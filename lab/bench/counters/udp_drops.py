"""Datagrams that wait in sockets, and those dropped for a full buffer, by local port."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

_LOCAL, _QUEUES, _DROPS = 1, 4, 12


def udp_drops(ports: Container[int]) -> int:
    """Return the drops of the live sockets on these ports: the last column of `/proc/net/udp`, as SO_RXQ_OVFL."""
    return sum(int(columns[_DROPS]) for columns in _sockets(ports))


def udp_waiting_bytes(ports: Container[int]) -> int:
    """Return the bytes that wait at these ports, with the kernel's own overhead."""
    return sum(int(columns[_QUEUES].rpartition(":")[2], 16) for columns in _sockets(ports))


def _sockets(ports: Container[int]) -> Iterator[list[str]]:
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        columns = line.split()
        if int(columns[_LOCAL].rpartition(":")[2], 16) in ports:
            yield columns

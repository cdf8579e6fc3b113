"""Datagrams that the kernel dropped because a socket's buffer was full, by local port."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

_LOCAL, _DROPS = 1, 12


def udp_drops(ports: Container[int]) -> int:
    """The last column of `/proc/net/udp`, which is what SO_RXQ_OVFL counts, over the live sockets on these ports."""
    total = 0
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        columns = line.split()
        if int(columns[_LOCAL].rpartition(":")[2], 16) in ports:
            total += int(columns[_DROPS])
    return total

"""The senders of RTP to a call's port that its connected sockets do not hear.

Behind a NAT or a container network, Asterisk's packets come from another address than it announced. The kernel drops
them at a connected socket. A second, unconnected socket on the port hears them for a moment. The kernel prefers
connected sockets, so this one takes no packet of the call. Nothing is ever sent to a sender that was only observed.
"""

from __future__ import annotations

import asyncio
import socket

MAX_OBSERVED_SECONDS = 1.0
MAX_OBSERVED_PACKETS = 16
MAX_OBSERVED_SENDERS = 4
MAX_OBSERVATIONS = 8

_RTP_HEADER_BYTES = 12
_RTP_VERSION = 2


async def observe_senders(sock: socket.socket) -> tuple[tuple[str, int], ...]:
    """Return the addresses and ports that send RTP to the socket, most packets first."""
    loop = asyncio.get_running_loop()
    packets: dict[tuple[str, int], int] = {}
    try:
        async with asyncio.timeout(MAX_OBSERVED_SECONDS):
            for _ in range(MAX_OBSERVED_PACKETS):
                data, sender = await loop.sock_recvfrom(sock, _RTP_HEADER_BYTES)
                address = (str(sender[0]), int(sender[1]))
                known = address in packets or len(packets) < MAX_OBSERVED_SENDERS
                if known and len(data) == _RTP_HEADER_BYTES and data[0] >> 6 == _RTP_VERSION:
                    packets[address] = packets.get(address, 0) + 1
    except (TimeoutError, OSError):
        pass
    return tuple(sorted(packets, key=lambda address: -packets[address]))

"""The echo's UDP sockets: one for each worker, all on one port. The kernel keeps every sender with one socket.

Sockets share a port through SO_REUSEPORT. While they do, every process of the same user can join the port and receives
its part of the senders. Clearing the option on all sockets ends that, but the kernel then hands every datagram to one
of them. An IPv4 port is closed by a guard instead: one more socket without the option. A socket that binds after it is
compared with it first, and refused. The guard is of family AF_INET6 with an IPv4-mapped address, which the kernel
prefers less than AF_INET when it chooses the receiver of a datagram (compute_score in net/ipv4/udp.c).
"""

from __future__ import annotations

import socket
import struct

from rtppool_core.net.udp import ask_for_arrival_stamps, bind_error, family_of
from rtppool_echo.messages.ancillary import ask_for_ancillary

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
# linux/socket.h and linux/sock_diag.h: the ninth word counts datagrams that found the buffer full.
SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")


def bind_sockets(address: str, port: int, workers: int) -> list[socket.socket]:
    """Bind one socket for each worker. Port 0 selects a free port. `close_port` then keeps other processes off it.

    The first socket is bound before it allows others. An echo that already runs there is therefore an error, and does
    not share the port.

    Raises:
        BindError: the address or the port is not available.
    """
    sockets: list[socket.socket] = []
    try:
        # Those that were made before an error are closed.
        sockets.extend(_udp_socket(address) for _ in range(workers))
        first, *others = sockets
        first.bind((address, port))
        bound_port = first.getsockname()[1]
        if others:
            for sock in sockets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for sock in others:
            sock.bind((address, bound_port))
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise bind_error(address, port, error) from error
    return sockets


def close_port(sockets: list[socket.socket]) -> socket.socket | None:
    """Keep other processes off the port that `sockets` share. Returns the guard, which is open as long as they are.

    Returns None where no guard can be bound: for IPv6, and on a system without IPv6. The first socket then receives the
    datagrams of all senders.
    """
    guard = _bind_guard(sockets) if sockets[0].family == socket.AF_INET else None
    if guard is None:
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    return guard


def _bind_guard(sockets: list[socket.socket]) -> socket.socket | None:
    address, port = sockets[0].getsockname()
    try:
        guard = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    except OSError:
        return None
    everyone = [*sockets, guard]
    try:
        guard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Sockets that all have SO_REUSEADDR may share a port, in no group of SO_REUSEPORT. It is cleared at once.
        for sock in everyone:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        guard.bind((f"::ffff:{address}", port))
    except OSError:
        guard.close()
        return None
    finally:
        for sock in everyone:
            if sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return guard


def overflows(sock: socket.socket) -> int | None:
    """Return the datagrams that found the receive buffer full; None where the kernel does not report them."""
    try:
        answer = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return None
    return int(_MEMINFO.unpack(answer)[-1]) if len(answer) == _MEMINFO.size else None


def _udp_socket(address: str) -> socket.socket:
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if sock.family == socket.AF_INET6:
        # Only `::` serves IPv4 senders as well.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    ask_for_ancillary(sock)
    ask_for_arrival_stamps(sock)
    return sock

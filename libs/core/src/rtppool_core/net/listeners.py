"""TCP sockets that listen, without a server: cheap to open, and connections wait in them until it is loaded."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from rtppool_core.net.udp import family_of

# A client that finds the queue full tries again after a second. In a flood, most of a probe's time is the wait in it.
BACKLOG = 4096


class ListenError(Exception):
    """The HTTP listener could not bind. The message names the setting, its value and the remedy."""


class PortTakenError(ListenError):
    """The port is in use."""


def any_address() -> str:
    """Return `::`, which receives IPv4 connections as well, or 0.0.0.0 on a machine without IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind(("::", 0))
    except OSError:
        return "0.0.0.0"
    return "::"


def distinct_addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses without repetitions, and without those that 0.0.0.0 or `::` of the list receives."""
    parsed = dict.fromkeys(ipaddress.ip_address(address) for address in addresses)
    unspecified = {address.version for address in parsed if address.is_unspecified}
    return tuple(str(each) for each in parsed if each.is_unspecified or each.version not in unspecified)


def open_listeners(addresses: str | Sequence[str], port: int) -> list[socket.socket]:
    """Return a listening socket for each address. With port 0 all get the port of the first one.

    The address `::` receives IPv4 connections as well, unless the list has an IPv4 address.

    Raises:
        PortTakenError: the port is in use.
        ListenError: an address can't be bound for another reason.
    """
    distinct = distinct_addresses((addresses,) if isinstance(addresses, str) else addresses)
    has_ipv4 = any(family_of(address) == socket.AF_INET for address in distinct)
    listeners: list[socket.socket] = []
    with ExitStack() as opened:
        for address in distinct:
            try:
                listener = _listening_socket(address, port, ipv6_only=has_ipv4)
            except OSError as error:
                raise _listen_error(address, port, error) from error
            opened.callback(listener.close)
            listeners.append(listener)
            port = int(listener.getsockname()[1])
        opened.pop_all()
    return listeners


def _listening_socket(address: str, port: int, *, ipv6_only: bool) -> socket.socket:
    listener = socket.socket(family_of(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, ipv6_only)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _listen_error(address: str, port: int, error: OSError) -> ListenError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    where = f"can't listen on {address} port {port} ({reason})"
    if error.errno == errno.EADDRNOTAVAIL:
        return ListenError(f"HTTP_BIND={address}: {where}; accepted are addresses of this machine. See: ip address")
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(f"HTTP_PORT={port}: {where}; accepted is a free port. Find what holds it with: ss -ltnp")
    return ListenError(f"HTTP_PORT={port}: {where}")

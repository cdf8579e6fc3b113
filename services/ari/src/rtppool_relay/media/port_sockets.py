"""Two UDP sockets on one port: one for Asterisk, one for the echo, and no socket of another process.

The first is bound without SO_REUSEPORT, so that a port in use is refused. Then the option is set on it, the second is
bound, and the option is cleared on both. With the option left on, a second relay of the same user would join silently
and steal packets.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from rtppool_core.net.udp import ask_for_stamps_both_ways, bind_error, family_of, mark
from rtppool_core.process.shortage import is_shortage

RECEIVE_BUFFER_BYTES = 256 * 1024


@dataclass(slots=True)
class PortSockets:
    """The control process's sockets; media processes get duplicates. `asterisk` is connected once its peer is known."""

    port: int
    asterisk: socket.socket
    echo: socket.socket

    def close(self) -> None:
        """Close both. A repeated call does nothing."""
        self.asterisk.close()
        self.echo.close()


def bind_pair(address: str, port: int, dscp: int, asterisk_side: str | None = None) -> PortSockets:
    """Bind both sockets of a port.

    A connected socket receives at one address only. On a machine with several, the kernel would choose the source
    address of the route to Asterisk. So Asterisk's socket is bound to `asterisk_side`,
    if that is an address of this machine. Behind a NAT it is not, and `address` applies.

    Raises:
        BindError: the port is in use, or the address is not this machine's.
        OSError: descriptors or memory have run out, so that another attempt may succeed.
    """
    asterisk = _udp_socket(address, dscp)
    try:
        echo = _udp_socket(address, dscp)
    except (OSError, MemoryError):
        asterisk.close()
        raise
    try:
        # The wider address first, so that a socket on any of its addresses is a conflict.
        echo.bind((address, port))
        _join(echo, asterisk, asterisk_side or address, address)
    except (OSError, MemoryError) as error:
        asterisk.close()
        echo.close()
        if isinstance(error, MemoryError) or is_shortage(error):
            raise
        raise bind_error(address, port, error) from error
    return PortSockets(echo.getsockname()[1], asterisk, echo)


def bind_another_echo(
    pair: PortSockets, address: str, dscp: int, others: tuple[socket.socket, ...] = ()
) -> socket.socket:
    """Bind a third socket on the pair's port, for a new echo while the old one still answers.

    `others` are the sockets to former echoes, which are bound to the port as well.

    Raises:
        BindError: the kernel refuses.
        OSError: descriptors or memory have run out.
    """
    another = _udp_socket(address, dscp)
    try:
        _share_port(pair.asterisk, another, address, (pair.echo, *others))
    except (OSError, MemoryError) as error:
        another.close()
        if isinstance(error, MemoryError) or is_shortage(error):
            raise
        raise bind_error(address, pair.port, error) from error
    return another


def bind_observer(pair: PortSockets, address: str, others: tuple[socket.socket, ...] = ()) -> socket.socket:
    """Bind an unconnected socket on the pair's port. It hears every sender that no connected socket has.

    `others` are the sockets to former echoes, which are bound to the port as well.

    Raises:
        BindError: the kernel refuses.
        OSError: no more sockets are available.
    """
    observer = socket.socket(family_of(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        _share_port(pair.asterisk, observer, address, (pair.echo, *others))
    except OSError as error:
        observer.close()
        raise bind_error(address, pair.port, error) from error
    return observer


def can_bind(address: str, port: int) -> str | None:
    """Bind the port and close it again; return None, or the reason of a failure.

    Raises:
        OSError: descriptors or memory have run out, which says nothing about the port.
    """
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as trial:
        try:
            trial.bind((address, port))
        except OSError as error:
            if is_shortage(error):
                raise
            return str(bind_error(address, port, error))
    return None


def _udp_socket(address: str, dscp: int) -> socket.socket:
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        ask_for_stamps_both_ways(sock)
        mark(sock, dscp)
    except BaseException:
        sock.close()
        raise
    return sock


def _join(bound: socket.socket, joining: socket.socket, address: str, otherwise: str) -> None:
    try:
        _share_port(bound, joining, address)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL or address == otherwise:
            raise
        _share_port(bound, joining, otherwise)


def _share_port(
    bound: socket.socket, joining: socket.socket, address: str, others: tuple[socket.socket, ...] = ()
) -> None:
    sharing = (bound, joining, *others)
    for sock in sharing:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        joining.bind((address, bound.getsockname()[1]))
    finally:
        for sock in sharing:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)

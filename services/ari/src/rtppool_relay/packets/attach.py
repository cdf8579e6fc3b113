"""Attach a call to a media process, resuming from the shared rows after a crash."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from rtppool_core.net.local_address import is_local_address
from rtppool_core.net.udp import ask_for_stamps_both_ways, ask_for_tos
from rtppool_relay.packets.layout import ASTERISK_LEG, DESCRIPTORS, ECHO_LEG, LOCAL_ECHO_LEG
from rtppool_relay.packets.machine_code import begin_call, collect_stamps, link, resume, set_echo, unlink

if TYPE_CHECKING:
    # A library needs no numpy.
    from rtppool_relay.packets.memory import Media

# A struct sockaddr in words of 64 bits.
_ADDRESS = struct.Struct("<4q")


class TooManyDescriptorsError(Exception):
    """A socket's descriptor is too high for the memory of the media process."""


class CallSettings(NamedTuple):
    """A call's Asterisk (`peer`), the TOS of both sockets, and whether to `extend` packets to the echo."""

    peer: tuple[str, int]
    tos: int = 0
    extend: bool = False


def attach(media: Media, slot: int, asterisk: socket.socket, echo: socket.socket, settings: CallSettings) -> None:
    """Join two connected sockets. Call `drain_queued` next, before polling them.

    Raises:
        OSError: the peer is no IP address of the socket's family.
        TooManyDescriptorsError: a descriptor is too high.
    """
    peer = _sockaddr(asterisk.family, settings.peer)
    _link(media, slot, asterisk, ASTERISK_LEG)
    begin_call(media, slot, asterisk.fileno(), settings.tos, int(settings.extend), *peer)
    resume(media, slot)
    attach_echo(media, slot, echo)


def attach_echo(media: Media, slot: int, echo: socket.socket) -> None:
    """Send to this echo from now on. Answers of the former echo are still accepted.

    Raises:
        TooManyDescriptorsError: the descriptor is too high.
    """
    _link(media, slot, echo, LOCAL_ECHO_LEG if is_local_address(echo.getpeername()[0]) else ECHO_LEG)
    set_echo(media, slot, echo.fileno())


def detach_socket(media: Media, sock: socket.socket) -> None:
    """Clear the entry of a socket that is about to be closed."""
    if 0 <= sock.fileno() < DESCRIPTORS:
        unlink(media, sock.fileno())


def _link(media: Media, slot: int, sock: socket.socket, leg: int) -> None:
    descriptor = sock.fileno()
    if descriptor >= DESCRIPTORS:
        raise TooManyDescriptorsError(f"descriptor {descriptor} of slot {slot} is beyond {DESCRIPTORS - 1}")
    ask_for_tos(sock)
    link(media, descriptor, slot, leg, int(ask_for_stamps_both_ways(sock)))
    # Discard the reports that a former media process left in the queue.
    collect_stamps(media, descriptor)


def _sockaddr(family: int, peer: tuple[str, int]) -> tuple[int, int, int, int]:
    """Return a struct sockaddr_in or sockaddr_in6, without flow label and scope, as words."""
    host, port = peer
    address = socket.inet_pton(family, host)
    flow = b"" if family == socket.AF_INET else bytes(4)
    packed = struct.pack("=H", family) + struct.pack("!H", port) + flow + address
    first, second, third, fourth = _ADDRESS.unpack(packed.ljust(_ADDRESS.size, b"\0"))
    return first, second, third, fourth

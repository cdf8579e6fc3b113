"""How a media process begins with a call, or goes on with one where another media process died."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import numpy as np

from rtppool_core.net.udp import ask_for_stamps_both_ways, ask_for_tos
from rtppool_relay.media.rows import Word
from rtppool_relay.packets.departure_stamps import ONE_IN, collect_stamps
from rtppool_relay.packets.memory import ASTERISK_LEG, DESCRIPTORS, ECHO_LEG, UNKNOWN, Media
from rtppool_relay.packets.packet_path import expect


class TooManyDescriptorsError(Exception):
    """A socket's descriptor is beyond what the media process has memory for."""


@dataclass(frozen=True, slots=True)
class Leg:
    """How a call's packets are sent: `tos` as both sockets mark them; `extend`: with the echo's header extension."""

    peer: tuple[str, int]
    tos: int = 0
    extend: bool = False


def take_up(media: Media, slot: int, asterisk: socket.socket, echo: socket.socket, leg: Leg) -> None:
    """Join two connected sockets. Call `drain_queued` next, before anything waits for them to be readable.

    Raises:
        TooManyDescriptorsError: a descriptor is too high a number.
    """
    call = media.calls[slot]
    _link(media, slot, asterisk, ASTERISK_LEG)
    media.peers[slot] = _sockaddr(asterisk.family, leg.peer)
    call["asterisk"] = asterisk.fileno()
    call["tos"], call["extend"], call["unchecked"] = leg.tos, leg.extend, True
    for name in ("ssrc", "next", "bad", "previous_ssrc", "previous_highest"):
        call[name] = UNKNOWN
    for name in ("epoch", "first_index", "highest", "sent", "stamp_at", "stamp_answer_at"):
        call[name] = 0
    media.words[slot, Word.TOS] = leg.tos
    _go_on(media, slot)
    use_echo(media, slot, echo)


def use_echo(media: Media, slot: int, echo: socket.socket) -> None:
    """Send to this echo from now on. What the one before still answers is taken.

    Raises:
        TooManyDescriptorsError: a descriptor is too high a number.
    """
    _link(media, slot, echo, ECHO_LEG)
    media.calls[slot]["echo"] = echo.fileno()


def forget(media: Media, sock: socket.socket) -> None:
    """This socket is about to be closed."""
    media.sockets[sock.fileno()]["slot"] = UNKNOWN


def _link(media: Media, slot: int, sock: socket.socket, leg: int) -> None:
    descriptor = sock.fileno()
    if descriptor >= DESCRIPTORS:
        raise TooManyDescriptorsError(f"descriptor {descriptor} of slot {slot} is beyond {DESCRIPTORS - 1}")
    ask_for_tos(sock)
    media.pending[descriptor]["number"] = UNKNOWN
    media.sockets[descriptor] = (slot, leg, ask_for_stamps_both_ways(sock), 0)
    # What a media process before this one has left there.
    collect_stamps(media, descriptor)


def _go_on(media: Media, slot: int) -> None:
    """Go on where the slot stands: a media process before this one may have died."""
    words, call = media.words[slot], media.calls[slot]
    if not words[Word.EPOCH]:
        return
    call["epoch"] = words[Word.EPOCH]
    call["ssrc"] = words[Word.SSRC]
    call["first_index"] = words[Word.FIRST_INDEX]
    written = media.rows[slot][media.rows[slot]["index"] != 0]
    highest = int(words[Word.FIRST_INDEX])
    if written.size:
        call["sent"] = written["ordinal"][np.argmax(written["x"])]
        # No row shows a stream that began with the very last packet that the other process read.
        highest = max(highest, int(written["index"].max()))
    expect(media, slot, highest)
    call["stamp_at"] = highest - highest % ONE_IN
    call["stamp_answer_at"] = call["stamp_at"] + ONE_IN // 2


def _sockaddr(family: int, peer: tuple[str, int]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """A struct sockaddr_in or sockaddr_in6 without flow and scope."""
    host, port = peer
    address = socket.inet_pton(family, host)
    between = b"" if family == socket.AF_INET else bytes(4)
    packed = struct.pack("=H", family) + struct.pack("!H", port) + between + address
    return np.frombuffer(packed.ljust(28, b"\0"), np.uint8)

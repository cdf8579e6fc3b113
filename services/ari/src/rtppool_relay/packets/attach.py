"""Attach a call to a media process, resuming from the shared rows after a crash."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import numpy as np

from rtppool_core.net.local_address import is_local_address
from rtppool_core.net.udp import ask_for_stamps_both_ways, ask_for_tos
from rtppool_relay.media.rows import SEQUENCE_OFFSET_WORD, Word, latest_ordinal
from rtppool_relay.packets.machine_code import collect_stamps, expect
from rtppool_relay.packets.memory import (
    ASTERISK_LEG,
    DESCRIPTORS,
    ECHO_LEG,
    LOCAL_ECHO_LEG,
    MAX_ADDRESS_BYTES,
    ONE_IN,
    UNKNOWN,
    Media,
)


class TooManyDescriptorsError(Exception):
    """A socket's descriptor is too high for the memory of the media process."""


@dataclass(frozen=True, slots=True)
class CallSettings:
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
    call = media.calls[slot]
    peer = _sockaddr(asterisk.family, settings.peer)
    _link(media, slot, asterisk, ASTERISK_LEG)
    media.peers[slot] = peer
    call["asterisk"] = asterisk.fileno()
    call["tos"], call["extend"], call["unchecked"] = settings.tos, settings.extend, True
    for name in ("ssrc", "next", "bad"):
        call[name] = UNKNOWN
    for name in ("epoch", "first_index", "highest", "offset", "top", "sent"):
        call[name] = 0
    for name in ("stamp_at", "stamp_answer_at", "usual_echo_ns"):
        call[name] = 0
    media.sources[slot]["used"] = 0
    media.words[slot, Word.TOS] = settings.tos
    _resume(media, slot)
    attach_echo(media, slot, echo)


def attach_echo(media: Media, slot: int, echo: socket.socket) -> None:
    """Send to this echo from now on. Answers of the former echo are still accepted.

    Raises:
        TooManyDescriptorsError: the descriptor is too high.
    """
    _link(media, slot, echo, LOCAL_ECHO_LEG if is_local_address(echo.getpeername()[0]) else ECHO_LEG)
    media.calls[slot]["echo"] = echo.fileno()


def detach_socket(media: Media, sock: socket.socket) -> None:
    """Clear the entry of a socket that is about to be closed."""
    if 0 <= sock.fileno() < DESCRIPTORS:
        media.sockets[sock.fileno()]["slot"] = UNKNOWN


def _link(media: Media, slot: int, sock: socket.socket, leg: int) -> None:
    descriptor = sock.fileno()
    if descriptor >= DESCRIPTORS:
        raise TooManyDescriptorsError(f"descriptor {descriptor} of slot {slot} is beyond {DESCRIPTORS - 1}")
    ask_for_tos(sock)
    media.pending[descriptor]["number"] = UNKNOWN
    media.sockets[descriptor] = (slot, leg, ask_for_stamps_both_ways(sock), 0)
    # Discard the reports that a former media process left in the queue.
    collect_stamps(media, descriptor)


def _resume(media: Media, slot: int) -> None:
    """Restore the call's state from its rows, if a former media process wrote any."""
    words, call = media.words[slot], media.calls[slot]
    if not words[Word.EPOCH]:
        return
    call["epoch"] = words[Word.EPOCH]
    call["ssrc"] = words[Word.SSRC]
    call["first_index"] = words[Word.FIRST_INDEX]
    call["offset"] = words[SEQUENCE_OFFSET_WORD]
    written = media.rows[slot][media.rows[slot]["index"] != 0]
    highest = int(words[Word.FIRST_INDEX])
    if written.size:
        call["sent"] = latest_ordinal(written["ordinal"])
        call["top"] = int(written["index"].max())
        # A stream that began with the very last packet of the former process has no row yet.
        own = written[(written["ssrc"] == call["ssrc"]) & (written["index"] >= highest)]
        if own.size:
            latest = own[np.argmax(own["index"])]
            call["epoch"], highest = latest["epoch"], int(latest["index"])
    expect(media, slot, highest)
    call["stamp_at"] = highest - highest % ONE_IN
    call["stamp_answer_at"] = call["stamp_at"] + ONE_IN // 2


def _sockaddr(family: int, peer: tuple[str, int]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return a struct sockaddr_in or sockaddr_in6, without flow label and scope."""
    host, port = peer
    address = socket.inet_pton(family, host)
    flow = b"" if family == socket.AF_INET else bytes(4)
    packed = struct.pack("=H", family) + struct.pack("!H", port) + flow + address
    return np.frombuffer(packed.ljust(MAX_ADDRESS_BYTES, b"\0"), np.uint8)

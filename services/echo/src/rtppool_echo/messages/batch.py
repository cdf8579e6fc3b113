"""Datagrams in batches: recvmmsg(2) and sendmmsg(2), which Python lacks, through ctypes.

Calls hold the interpreter's lock (`PyDLL`): a reflecting process has no other thread, so releasing the lock is pure
cost. An answer that the kernel refuses, for instance for want of a route, is left out at once and not tried again: a
second try would cost most for the datagrams of forged senders. sendmmsg reports an error of the first datagram of a
call only, so the reason comes from the socket: without room, its send buffer was full.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
from collections.abc import Sequence
from functools import partial

from rtppool_echo.messages.ancillary import ask_for_ancillary, pack_items
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAMS, MESSAGE, DatagramMemory, address
from rtppool_echo.messages.single import Receive, SendFirst
from rtppool_echo.messages.socket_name import Sender, name_of
from rtppool_echo.rules.refusals import REASON_SEND_ERROR, REASON_SEND_FULL

# linux/socket.h: wait for the first datagram only.
MSG_WAITFORONE = 0x10000
POINTER_BYTES = 8
SELF_TEST_SECONDS = 2


class BatchError(Exception):
    """Batches can't be used on this system; the message has the reason."""


class BatchMessages:
    """Batches on a blocking socket; with a receive timeout, `receive` returns without a datagram after it.

    `receive()` fills the memory and returns the number of datagrams, 0 or below for none. `send_first(number, flags)`
    sends the answers of the first slots and returns the number sent, below 0 when the first failed. Both are the C
    library's functions with their leading arguments bound, so that no Python frame stands between.

    Raises:
        BatchError: this system has no such calls.
    """

    def __init__(self, sock: socket.socket, memory: DatagramMemory) -> None:
        if struct.calcsize("P") != POINTER_BYTES:
            raise BatchError("only 64-bit systems are supported")
        try:
            library = ctypes.PyDLL(None)
            receive, send = library.recvmmsg, library.sendmmsg
        except (OSError, AttributeError) as error:
            raise BatchError(f"the C library has no recvmmsg and sendmmsg ({error})") from error
        self._memory = memory
        self._room = select.poll()
        self._room.register(sock.fileno(), select.POLLOUT)
        # Pointers are made once. ctypes converts plain integers faster than its own objects.
        descriptor = sock.fileno()
        questions, answers = ctypes.c_void_p(address(memory.questions)), ctypes.c_void_p(address(memory.answers))
        self.receive: Receive = partial(receive, descriptor, questions, MAX_DATAGRAMS, MSG_WAITFORONE, None)
        self.send_first: SendFirst = partial(send, descriptor, answers)
        self._send = partial(send, descriptor)

    def send_slots(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Send the answers in `slots`. Returns each slot whose answer the kernel refused, with the reason."""
        return self._send_from(0, slots)

    def send_after_refused(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Return the same for `slots` of which the kernel has just refused the first."""
        return [(slots[0], self._reason()), *self._send_from(1, slots)]

    def _send_from(self, at: int, slots: Sequence[int]) -> list[tuple[int, str]]:
        refused: list[tuple[int, str]] = []
        number = len(slots)
        answers = self._memory.answers_of(slots)
        first = address(answers)
        while at < number:
            at += max(0, self._send(ctypes.c_void_p(first + at * MESSAGE.size), number - at, socket.MSG_DONTWAIT))
            if at < number:
                refused.append((slots[at], self._reason()))
                at += 1
        return refused

    def _reason(self) -> str:
        return REASON_SEND_ERROR if self._room.poll(0) else REASON_SEND_FULL


def self_test(family: int) -> str | None:
    """Answer two datagrams over loopback in one batch. Returns the reason why batches can't be used, or None."""
    try:
        with (
            socket.socket(family, socket.SOCK_DGRAM) as echo,
            socket.socket(family, socket.SOCK_DGRAM) as first,
            socket.socket(family, socket.SOCK_DGRAM) as second,
        ):
            return _first_difference(echo, (first, second))
    except (OSError, BatchError) as error:
        return str(error)


def _first_difference(echo: socket.socket, clients: tuple[socket.socket, ...]) -> str | None:
    host = "::1" if echo.family == socket.AF_INET6 else "127.0.0.1"
    ask_for_ancillary(echo)
    for sock in (echo, *clients):
        sock.bind((host, 0))
        sock.settimeout(SELF_TEST_SECONDS)
    memory = DatagramMemory(echo.family, stamped=False)
    messages = BatchMessages(echo, memory)
    sent = [bytes([at]) * (at + 1) for at in range(len(clients))]
    for client, payload in zip(clients, sent, strict=True):
        client.sendto(payload, echo.getsockname())
    if not select.select([echo], [], [], SELF_TEST_SECONDS)[0]:
        return "nothing arrived over loopback"
    number = messages.receive()
    if number != len(clients):
        return f"recvmmsg returned {number} of {len(clients)} datagrams"
    for at, (client, payload) in enumerate(zip(clients, sent, strict=True)):
        if not _is_slot_of(memory, at, payload, client.getsockname()):
            return "recvmmsg wrote an unexpected layout"
        memory.put_size(at, len(payload))
        memory.put_ancillary(at, pack_items(memory.received_items(at)))
    if messages.send_first(number, socket.MSG_DONTWAIT) != number:
        return "sendmmsg did not send the answers"
    for client, payload in zip(clients, sent, strict=True):
        if client.recvfrom(len(payload) + 1) != (payload, echo.getsockname()):
            return "sendmmsg sent other bytes than it was given"
    return None


def _is_slot_of(memory: DatagramMemory, at: int, payload: bytes, sender: Sender) -> bool:
    return (
        memory.size(at) == len(payload)
        and bytes(memory.payload(at, len(payload))) == payload
        and memory.name(at) == name_of(sender)
        and memory.control_is_whole(at)
        and len(pack_items(memory.received_items(at))) == memory.ancillary_bytes
    )

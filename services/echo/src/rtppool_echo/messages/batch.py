"""Datagrams by the batch: recvmmsg(2) and sendmmsg(2), which Python does not have, through ctypes.

Calls hold the interpreter's lock (`PyDLL`): a reflecting process has no other thread, and giving the lock away costs
more than it brings. errno is not looked at: what fails is done once more by Python, which says why.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
from collections.abc import Sequence
from functools import partial

from rtppool_echo.messages.ancillary import ask_for_ancillary, packed
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAMS, DatagramMemory, address
from rtppool_echo.messages.single import Receive, SendFirst, send_one
from rtppool_echo.rules.socket_name import Sender, name_of

# linux/socket.h: wait for the first datagram only.
MSG_WAITFORONE = 0x10000
POINTER_BYTES = 8
SELF_TEST_SECONDS = 2


class BatchError(Exception):
    """Batches can't be used here; the message says why."""


class BatchMessages:
    """Receives and answers on a socket that blocks; one that has a receive timeout comes back with nothing after it.

    `receive()` fills the memory and says how many datagrams are there; 0 and below: none, or it was interrupted.
    `send_first(number, flags)` sends the answers of the first slots, and says how many it could; below 0: not even the
    first. Both are the C library's functions with their first arguments, as nothing is to stand between.

    Raises:
        BatchError: this system has no such calls.
    """

    def __init__(self, sock: socket.socket, memory: DatagramMemory) -> None:
        if struct.calcsize("P") != POINTER_BYTES:
            raise BatchError("only 64-bit systems are known")
        try:
            library = ctypes.PyDLL(None)
            receive, send = library.recvmmsg, library.sendmmsg
        except (OSError, AttributeError) as error:
            raise BatchError(f"the C library has no recvmmsg and sendmmsg ({error})") from error
        self._sock = sock
        self._memory = memory
        # Pointers are made once; numbers ctypes converts faster than it takes its own objects.
        descriptor = sock.fileno()
        questions, answers = ctypes.c_void_p(address(memory.questions)), ctypes.c_void_p(address(memory.answers))
        self.receive: Receive = partial(receive, descriptor, questions, MAX_DATAGRAMS, MSG_WAITFORONE, None)
        self.send_first: SendFirst = partial(send, descriptor, answers)
        self._send = partial(send, descriptor)

    def send_slots(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Send these answers. Returns the slots whose answer the kernel did not take, each with the reason."""
        refused: list[tuple[int, str]] = []
        left = slots
        while left:
            answers = self._memory.answers_of(left)
            sent = self._send(ctypes.c_void_p(address(answers)), len(left), socket.MSG_DONTWAIT)
            left = left[max(sent, 0) :]
            if left and sent <= 0:
                reason = send_one(self._sock, self._memory, left[0])
                if reason is not None:
                    refused.append((left[0], reason))
                left = left[1:]
        return refused


def self_test(family: int) -> str | None:
    """Send datagrams over loopback and answer them in one batch; why that can't be used here, or None."""
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
        return f"recvmmsg gave {number} of {len(clients)} datagrams"
    for at, (client, payload) in enumerate(zip(clients, sent, strict=True)):
        if not _is_slot_of(memory, at, payload, client.getsockname()):
            return "what recvmmsg wrote is not laid out as expected"
        memory.put_size(at, len(payload))
        memory.put_beside(at, packed(memory.items_beside(at)))
    if messages.send_first(number, socket.MSG_DONTWAIT) != number:
        return "sendmmsg did not send the answers"
    for client, payload in zip(clients, sent, strict=True):
        if client.recvfrom(len(payload) + 1) != (payload, echo.getsockname()):
            return "what sendmmsg sent is not what was asked for"
    return None


def _is_slot_of(memory: DatagramMemory, at: int, payload: bytes, sender: Sender) -> bool:
    return (
        memory.size(at) == len(payload)
        and bytes(memory.payload(at, len(payload))) == payload
        and memory.name(at) == name_of(sender)
        and memory.control_is_whole(at)
        and len(packed(memory.items_beside(at))) == memory.beside_bytes
    )

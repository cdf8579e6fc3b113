"""One datagram at a time, by Python's own recvmsg and sendmsg: the way where batches can't be used.

The memory is the same, so that all rules exist once; slot 0 is the only one in use.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from rtppool_core.net import udp
from rtppool_echo.messages.ancillary import Item, packed, unpacked
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAM_BYTES, DatagramMemory
from rtppool_echo.rules.reflection import REASON_SEND_ERROR, REASON_SEND_FULL
from rtppool_echo.rules.socket_name import name_of, sender_of

# Fills the memory; how many datagrams there are.
Receive = Callable[[], int]
# Sends the answers of the first so many slots, with flags; how many went.
SendFirst = Callable[[int, int], int]


class SingleMessages:
    """The same as `BatchMessages`, for a batch of one."""

    def __init__(self, sock: socket.socket, memory: DatagramMemory) -> None:
        self._sock = sock
        self._memory = memory
        self._into = [memory.payload(0, MAX_DATAGRAM_BYTES)]

    def receive(self) -> int:
        """Fill slot 0. Returns 1, or 0 when nothing came in time."""
        try:
            size, items, _flags, sender = self._sock.recvmsg_into(self._into, self._memory.control_bytes)
        except (BlockingIOError, InterruptedError):
            return 0
        stamp = [item for item in items if _is_stamp(item)]
        beside = [item for item in items if not _is_stamp(item)]
        self._memory.put_question(name_of(sender), packed(stamp), packed(beside), size)
        return 1

    def send_first(self, number: int, _flags: int) -> int:
        """Send the answer in slot 0, never waiting. Returns 1, or -1: the kernel did not take it."""
        return -1 if number and self.send_slots([0]) else number

    def send_slots(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Send these answers. Returns the slots whose answer the kernel did not take, each with the reason."""
        tried = [(at, send_one(self._sock, self._memory, at)) for at in slots]
        return [(at, reason) for at, reason in tried if reason is not None]


def send_one(sock: socket.socket, memory: DatagramMemory, at: int) -> str | None:
    """Send the answer in one slot. Returns why the kernel did not take it, or None."""
    try:
        sock.sendmsg([memory.answer(at)], unpacked(memory.beside(at)), socket.MSG_DONTWAIT, sender_of(memory.name(at)))
    except BlockingIOError:
        return REASON_SEND_FULL
    except OSError:
        return REASON_SEND_ERROR
    return None


def _is_stamp(item: Item) -> bool:
    return item[:2] == (socket.SOL_SOCKET, udp.SO_TIMESTAMPNS)

"""One datagram at a time through Python's recvmsg and sendmsg, for systems where batches can't be used.

The memory is the same, so that all rules exist once. Only slot 0 is in use.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from rtppool_core.net import udp
from rtppool_echo.messages.ancillary import Item, pack_items, unpack_items
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAM_BYTES, DatagramMemory
from rtppool_echo.messages.socket_name import name_of, sender_of
from rtppool_echo.rules.refusals import REASON_SEND_ERROR, REASON_SEND_FULL

# Fills the memory and returns the number of datagrams.
Receive = Callable[[], int]
# Sends the answers of the first slots with flags and returns the number sent.
SendFirst = Callable[[int, int], int]


class SingleMessages:
    """The interface of `BatchMessages` for a batch of one."""

    def __init__(self, sock: socket.socket, memory: DatagramMemory) -> None:
        self._sock = sock
        self._memory = memory
        self._refused: list[tuple[int, str]] = []
        self._into = [memory.payload(0, MAX_DATAGRAM_BYTES)]

    def receive(self) -> int:
        """Fill slot 0. Returns 1, or 0 when no datagram arrived in time."""
        try:
            size, items, _flags, sender = self._sock.recvmsg_into(self._into, self._memory.control_bytes)
        except (BlockingIOError, InterruptedError):
            return 0
        stamp = [item for item in items if _is_stamp(item)]
        others = [item for item in items if not _is_stamp(item)]
        self._memory.put_question(name_of(sender), pack_items(stamp), pack_items(others), size)
        return 1

    def send_first(self, number: int, _flags: int) -> int:
        """Send the answer in slot 0 without waiting. Returns 1, or -1 when the kernel refused it."""
        self._refused = self.send_slots(range(number))
        return -1 if self._refused else number

    def send_slots(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Send the answers in `slots`. Returns each slot whose answer the kernel refused, with the reason."""
        tried = [(at, self._send(at)) for at in slots]
        return [(at, reason) for at, reason in tried if reason is not None]

    def send_after_refused(self, _slots: Sequence[int]) -> list[tuple[int, str]]:
        """Return slot 0, whose answer `send_first` could not send, with the reason."""
        return self._refused

    def _send(self, at: int) -> str | None:
        """Send the answer in one slot. Returns the reason when the kernel refused it, or None."""
        try:
            ancillary, receiver = unpack_items(self._memory.ancillary(at)), sender_of(self._memory.name(at))
            self._sock.sendmsg([self._memory.answer(at)], ancillary, socket.MSG_DONTWAIT, receiver)
        except BlockingIOError:
            return REASON_SEND_FULL
        except OSError:
            return REASON_SEND_ERROR
        return None


def _is_stamp(item: Item) -> bool:
    return item[:2] == (socket.SOL_SOCKET, udp.SO_TIMESTAMPNS)

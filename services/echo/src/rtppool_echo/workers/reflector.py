"""What is done with a batch of datagrams: judged, filled in where they ask for it, answered, counted.

`reflector()` makes one closure over locals, because it is all that runs for a packet, and what a closure knows costs
half of an attribute. Bytes of a packet are never changed, but for the extension that the relay puts in to be filled.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from socket import MSG_DONTWAIT
from typing import Protocol

from rtppool_core.rtp import echo_extension
from rtppool_core.rtp import header as rtp
from rtppool_echo.messages.answer_ancillary import AnswersBeside
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAMS, DatagramMemory
from rtppool_echo.messages.single import Receive, SendFirst
from rtppool_echo.workers.counters import Tally
from rtppool_echo.workers.extension_filler import ExtensionFiller

# What a datagram's first two bytes say: answer it, look at the rest of its header, or look for the extension as well.
PLAIN, LOOK, CARRIER = range(3)
SLOTS = range(MAX_DATAGRAMS)

Refusal = Callable[[bytes, int], str | None]


class Messages(Protocol):
    """How datagrams come into the memory and answers out of it: `BatchMessages` or `SingleMessages`."""

    @property
    def receive(self) -> Receive:
        """Fills the memory; how many there are, 0 and below: none."""

    @property
    def send_first(self) -> SendFirst:
        """Sends the answers of the first slots; how many went, below 0: not even the first."""

    def send_slots(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Send these answers; those that did not go, with the reason."""


def looks(*, rtp_only: bool) -> bytes:
    """What to do with a datagram, by its first two bytes read as a number in this machine's order.

    Unless it is `rtp_only`, everything is answered as it is and only a carrier of the extension is looked at.
    """
    every = range(256)
    firsts = [_look_at_pair(first, rtp.PCMU_PAYLOAD_TYPE) if rtp_only else PLAIN for first in every]
    seconds = [_look_at_pair(rtp.RTP_VERSION << 6, second) if rtp_only else PLAIN for second in every]
    firsts[echo_extension.FIRST_BYTE] = CARRIER
    by_pair = [second or first for first in firsts for second in seconds]
    if sys.byteorder == "little":
        by_pair = [by_pair[first << 8 | second] for second in every for first in every]
    return bytes(by_pair)


def _look_at_pair(first: int, second: int) -> int:
    header = bytes([first, second]).ljust(rtp.FIXED_HEADER_BYTES, b"\0")
    return PLAIN if rtp.defect(header, len(header)) is None else LOOK


def reflector(  # noqa: C901 one closure's worth of state
    messages: Messages,
    memory: DatagramMemory,
    tally: Tally,
    refusal_of_sender: Refusal,
    besides: AnswersBeside,
    extension: ExtensionFiller,
    *,
    rtp_only: bool,
) -> Callable[[], int]:
    """A function that waits for datagrams, answers them and returns how many there were; 0 when none came.

    `refusal_of_sender` says why a sender's packet at a monotonic time in ns is not answered.
    """
    receive, monotonic_ns = messages.receive, time.monotonic_ns
    envelopes_of, kinds_of, sizes_of = memory.envelopes_of, memory.kinds_of, memory.sizes_of
    size_of, put_size = memory.answer_sizes, memory.put_size
    beside_of, refusal_of_beside = besides.current, besides.refusal
    is_in, note, waiting, fill = extension.is_in, extension.note, extension.waiting, extension.fill
    look_at, smallest = looks(rtp_only=rtp_only), rtp.FIXED_HEADER_BYTES if rtp_only else 0
    defect = partial(_defect, memory) if rtp_only else _no_defect
    dropped: list[int] = []
    send_first, count = messages.send_first, tally.count
    send_slots = partial(_send_slots, messages, memory, tally, dropped)

    def reflect() -> int:  # noqa: C901 a call costs more than a branch here
        number = receive()
        now_ns = monotonic_ns()
        if number <= 0:
            count(now_ns, 0, 0)
            return 0
        sizes = sizes_of[number].tolist()
        envelopes, kinds = envelopes_of(number), kinds_of[number].tolist()
        for at, (key, beside), kind, size in zip(SLOTS, envelopes, kinds, sizes, strict=False):
            if size != size_of[at]:
                put_size(at, size)
            carries, reason = False, None
            if (look := look_at[kind]) or size < smallest:
                # The extension in its one form fits the packet: no need to read the header again.
                carries = look == CARRIER and is_in(at, size)
                reason = None if carries else defect(at, size)
            if reason is None:
                reason = refusal_of_sender(key, now_ns)
            if reason is None and beside != beside_of[at]:
                reason = refusal_of_beside(at, beside)
            if reason is not None:
                tally.take_back(reason, size)
                dropped.append(at)
            elif carries:
                note(at, key)
        if waiting:
            fill()
        if dropped:
            send_slots(number, 0)
        elif (sent := send_first(number, MSG_DONTWAIT)) != number:
            send_slots(number, sent)
        count(now_ns, number, sum(sizes))
        return number

    return reflect


def _send_slots(
    messages: Messages, memory: DatagramMemory, tally: Tally, dropped: list[int], number: int, sent: int
) -> None:
    """Send the answers of the first `number` slots, but of those `dropped` and those that are `sent` already."""
    left = sorted(set(range(max(sent, 0), number)).difference(dropped))
    dropped.clear()
    for at, reason in messages.send_slots(left):
        tally.take_back(reason, memory.answer_sizes[at])


def _defect(memory: DatagramMemory, at: int, size: int) -> str | None:
    return rtp.defect(memory.payload(at, size), size)


def _no_defect(_at: int, _size: int) -> str | None:
    return None

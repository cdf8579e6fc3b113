"""The work on a batch of datagrams: check, fill in the extension, answer, count.

`make_reflector` returns one closure over locals: it is all that runs for a packet, and reading a closure's variable
costs half as much as reading an attribute. The bytes of a packet never change, except in an unfilled extension.
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
from rtppool_echo.messages.answer_ancillary import AnswerAncillary
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAMS, DatagramMemory
from rtppool_echo.messages.single import Receive, SendFirst
from rtppool_echo.rules.recent_answers import RecentAnswers
from rtppool_echo.rules.refusals import REASON_REPEATED
from rtppool_echo.workers.counters import Tally
from rtppool_echo.workers.extension_filler import ExtensionFiller

# The action for a datagram by its first two bytes: answer, check its header, or look for the extension before that.
ANSWER, CHECK, CARRIER = range(3)
SLOTS = range(MAX_DATAGRAMS)

Refusal = Callable[[bytes, int], str | None]


class Messages(Protocol):
    """`BatchMessages` or `SingleMessages`: fill the memory, and send answers from it."""

    @property
    def receive(self) -> Receive:
        """Fills the memory and returns the number of datagrams, 0 or below for none."""

    @property
    def send_first(self) -> SendFirst:
        """Sends the answers of the first slots and returns the number sent, below 0 when the first failed."""

    def send_slots(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Send the answers in `slots`. Returns each slot whose answer was refused, with the reason."""

    def send_after_refused(self, slots: Sequence[int]) -> list[tuple[int, str]]:
        """Return the same for `slots` of which the kernel has just refused the first."""


def actions(*, rtp_only: bool) -> bytes:
    """Return the action for each value of a datagram's first two bytes, read as a number in this machine's byte order.

    Without `rtp_only` every datagram is answered, and only the extension is looked for.
    """
    every = range(256)
    firsts = [_action_for(first, rtp.PCMU_PAYLOAD_TYPE) if rtp_only else ANSWER for first in every]
    seconds = [_action_for(rtp.RTP_VERSION << 6, second) if rtp_only else ANSWER for second in every]
    firsts[echo_extension.FIRST_BYTE] = CARRIER
    by_pair = [second or first for first in firsts for second in seconds]
    if sys.byteorder == "little":
        by_pair = [by_pair[first << 8 | second] for second in every for first in every]
    return bytes(by_pair)


def _action_for(first: int, second: int) -> int:
    header = bytes([first, second]).ljust(rtp.FIXED_HEADER_BYTES, b"\0")
    return ANSWER if rtp.defect(header, len(header)) is None else CHECK


def make_reflector(  # noqa: C901 one closure's worth of state
    messages: Messages,
    memory: DatagramMemory,
    tally: Tally,
    refusal_of_sender: Refusal,
    ancillary: AnswerAncillary,
    extension: ExtensionFiller,
    recent: RecentAnswers,
    *,
    rtp_only: bool,
) -> Callable[[], int]:
    """Return a function that waits for datagrams, answers them and returns their number, 0 after a timeout.

    `refusal_of_sender` takes a sender's key and a monotonic time in ns.
    """
    receive, monotonic_ns = messages.receive, time.monotonic_ns
    envelopes_of, kinds_of, sizes_of = memory.envelopes_of, memory.kinds_of, memory.sizes_of
    size_of, put_size = memory.answer_sizes, memory.put_size
    prepared_for, refusal_of_ancillary = ancillary.current, ancillary.refusal
    is_in, note, waiting, fill = extension.is_in, extension.note, extension.waiting, extension.fill
    action_of, min_bytes = actions(rtp_only=rtp_only), rtp.FIXED_HEADER_BYTES if rtp_only else 0
    defect = partial(_defect, memory) if rtp_only else _no_defect
    is_repeated = recent.is_repeated if rtp_only else partial(_is_repeated_rtp, memory, recent)
    dropped: list[int] = []
    send_first, count = messages.send_first, tally.count
    send_others = partial(_send_others, messages, memory, tally, dropped)
    send_rest = partial(_send_rest, messages, memory, tally)

    def reflect() -> int:  # noqa: C901 a call costs more than a branch here
        number = receive()
        now_ns = monotonic_ns()
        if number <= 0:
            count(now_ns, 0, 0)
            return 0
        sizes = sizes_of[number].tolist()
        envelopes, kinds = envelopes_of(number), kinds_of[number].tolist()
        for at, (key, received), kind, size in zip(SLOTS, envelopes, kinds, sizes, strict=False):
            if size != size_of[at]:
                put_size(at, size)
            carries, reason = False, None
            if (action := action_of[kind]) or size < min_bytes:
                # A packet in the extension's one form is well-formed: its header needs no check.
                carries = action == CARRIER and is_in(at, size)
                reason = None if carries else defect(at, size)
            if reason is None:
                reason = refusal_of_sender(key, now_ns)
            if reason is None and received != prepared_for[at]:
                reason = refusal_of_ancillary(at, received)
            if reason is None and is_repeated(key, at, size, now_ns):
                reason = REASON_REPEATED
            if reason is not None:
                tally.take_back(reason, size)
                dropped.append(at)
            elif carries:
                note(at, key)
        if waiting:
            fill()
        if dropped:
            send_others(number)
        elif (sent := send_first(number, MSG_DONTWAIT)) != number:
            send_rest(number, sent)
        count(now_ns, number, sum(sizes))
        return number

    return reflect


def _send_others(messages: Messages, memory: DatagramMemory, tally: Tally, dropped: list[int], number: int) -> None:
    """Send the answers in the first `number` slots that are not `dropped`."""
    left = sorted(set(range(number)).difference(dropped))
    dropped.clear()
    _take_back(messages.send_slots(left), memory, tally)


def _send_rest(messages: Messages, memory: DatagramMemory, tally: Tally, number: int, sent: int) -> None:
    """Send those of `number` answers that follow the one that the kernel refused after it had `sent` some."""
    _take_back(messages.send_after_refused(range(max(sent, 0), number)), memory, tally)


def _take_back(refused: list[tuple[int, str]], memory: DatagramMemory, tally: Tally) -> None:
    for at, reason in refused:
        tally.take_back(reason, memory.answer_sizes[at])


def _defect(memory: DatagramMemory, at: int, size: int) -> str | None:
    return rtp.defect(memory.payload(at, size), size)


def _no_defect(_at: int, _size: int) -> str | None:
    return None


def _is_repeated_rtp(
    memory: DatagramMemory, recent: RecentAnswers, sender: bytes, at: int, size: int, now_ns: int
) -> bool:
    return _defect(memory, at, size) is None and recent.is_repeated(sender, at, size, now_ns)

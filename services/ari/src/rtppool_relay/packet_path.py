"""One call's packets, both ways: read, stamp, match, count, send. What runs for every packet is here and only here.

From Asterisk: a = kernel stamp, x = just before the send to the echo; a row is written. From the echo: r = kernel
stamp, y = just before the send to Asterisk; the row is closed. The sockets are connected, so the kernel lets in exact
peers only; what was queued before the connect is checked by hand until the queue was empty once. Nothing here raises
for anything that a peer sends, and bytes are never changed.

Closures over local names instead of objects: attribute look-ups were a tenth of the cost of a packet.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from rtppool_core.rtp import FIRST_RTCP_BYTE, FIXED_HEADER, FIXED_HEADER_BYTES, LAST_RTCP_BYTE, defect
from rtppool_core.statistics import MAX_DROPOUT, MAX_MISORDER
from rtppool_core.udp import NS_PER_SECOND, TIMESPEC, TIMESTAMP_SPACE
from rtppool_relay.rows import (
    ANSWER,
    ANSWER_OFFSET,
    ANSWERED_OFFSET_SHORTS,
    DROP_REASONS,
    HEADER_BYTES,
    INDEX_OFFSET_WORDS,
    LOST_AFTER_NS,
    ROW,
    ROW_BYTES,
    ROWS_PER_SLOT,
    SENT_OFFSET_WORDS,
    SSRC_OFFSET_INTS,
    Word,
    slot_offset,
)

LARGEST_DATAGRAM = 2048
# Version 2, no padding, extension or CSRC: the form of nearly every packet.
PLAIN_FIRST_BYTE = 0x80
LARGEST_CHECKED_BATCH = 1024

Handler = Callable[[], None]


@dataclass(slots=True)
class PacketPath:
    """What the loop needs of one call: a handler for each descriptor, the switch to another echo, the first reads.

    `drain_queued` takes what came before the sockets were connected, sender by sender; call it once, first.
    """

    from_asterisk: Handler
    from_echo: Handler
    use_echo: Callable[[socket.socket], Handler]
    drain_queued: Handler


def open_packet_path(  # noqa: C901, PLR0915 one closure's worth of state, split by direction inside
    memory: memoryview,
    slot: int,
    asterisk: socket.socket,
    echo: socket.socket,
    peer: tuple[str, int],
    now_ns: Callable[[], int] = time.time_ns,
) -> PacketPath:
    """Join two connected sockets. `memory` is the whole of the shared rows; the slot goes on where it stood."""
    words = memory.cast("Q")
    shorts = memory.cast("H")
    ints = memory.cast("I")
    start = slot_offset(slot)
    head = start // 8
    first_row = start + HEADER_BYTES
    buffer = bytearray(LARGEST_DATAGRAM)
    view = memoryview(buffer)
    buffers = [buffer]
    unpack_header = FIXED_HEADER.unpack_from
    unpack_stamp = TIMESPEC.unpack_from
    pack_row = ROW.pack_into
    pack_answer = ANSWER.pack_into
    asterisk_send = asterisk.send
    asterisk_read = asterisk.recvmsg_into
    echo_send = echo.send
    truncated = socket.MSG_TRUNC

    committed = head + Word.COMMITTED_INDEX
    read_asterisk = head + Word.FROM_ASTERISK
    read_echo = head + Word.FROM_ECHO
    sent_echo = head + Word.SENT_TO_ECHO
    sent_asterisk = head + Word.SENT_TO_ASTERISK

    highest = words[committed]
    epoch = words[head + Word.EPOCH]
    first_index = words[head + Word.FIRST_INDEX]
    current_ssrc = words[head + Word.SSRC] if epoch else -1
    previous_ssrc, previous_highest = -1, 0
    expected_after_bad = -1
    unchecked = True

    def count(word: Word) -> None:
        words[head + word] += 1

    def drop_defect(size: int) -> bool:
        reason = defect(buffer, size)
        if reason is None:
            return False
        count(DROP_REASONS[reason])
        return True

    def begin_epoch(sequence: int, ssrc: int) -> None:
        nonlocal highest, epoch, first_index, current_ssrc, previous_ssrc, previous_highest
        previous_ssrc, previous_highest = current_ssrc, highest
        highest = first_index = ((highest >> 16) + 2) << 16 | sequence
        epoch += 1
        current_ssrc = ssrc
        words[head + Word.EPOCH] = epoch
        words[head + Word.FIRST_INDEX] = first_index
        words[head + Word.SSRC] = ssrc

    def index_out_of_line(sequence: int, ahead: int) -> int:
        """The index of a packet that is neither next nor a small step on; 0 to drop it (RFC 3550 A.1)."""
        nonlocal expected_after_bad
        if ahead > 65536 - MAX_MISORDER or ahead == 0:
            index = highest - ((65536 - ahead) & 0xFFFF)
            row = first_row + (index % ROWS_PER_SLOT) * ROW_BYTES
            if index < first_index or words[row // 8 + INDEX_OFFSET_WORDS] == index:
                count(Word.DUPLICATE_SOURCE)
                return 0
            return index
        if sequence != expected_after_bad:
            expected_after_bad = (sequence + 1) & 0xFFFF
            count(Word.BAD_SEQUENCE)
            return 0
        expected_after_bad = -1
        begin_epoch(sequence, current_ssrc)
        return highest

    def from_asterisk() -> None:  # noqa: C901, PLR0912 a call costs more than a branch here
        nonlocal highest, unchecked
        try:
            size, ancillary, flags, sender = asterisk_read(buffers, TIMESTAMP_SPACE)
        except BlockingIOError:
            unchecked = False
            return
        except OSError:
            count(Word.ASTERISK_ERROR)
            return
        words[read_asterisk] += 1
        if ancillary:
            seconds, nanoseconds = unpack_stamp(ancillary[0][2])
            arrived = seconds * NS_PER_SECOND + nanoseconds
        else:
            arrived = now_ns()
        if unchecked and sender[:2] != peer:
            count(Word.OFF_SOURCE)
            return
        if flags & truncated:
            count(Word.OVERSIZE)
            return
        plain = size >= FIXED_HEADER_BYTES and buffer[0] == PLAIN_FIRST_BYTE
        if (not plain or FIRST_RTCP_BYTE <= buffer[1] <= LAST_RTCP_BYTE) and drop_defect(size):
            return
        _, second, sequence, timestamp, ssrc = unpack_header(buffer)
        if ssrc != current_ssrc:
            begin_epoch(sequence, ssrc)
            index = highest
        else:
            ahead = (sequence - highest) & 0xFFFF
            if 0 < ahead < MAX_DROPOUT:
                highest += ahead
                index = highest
            else:
                index = index_out_of_line(sequence, ahead)
                if not index:
                    return
        departed = now_ns()
        try:
            echo_send(view[:size])
        except OSError:
            resend_to_echo(size)
        row = first_row + (index % ROWS_PER_SLOT) * ROW_BYTES
        words[row // 8 + INDEX_OFFSET_WORDS] = 0
        pack_row(
            memory,
            row,
            arrived,
            departed,
            0,
            0,
            ssrc,
            timestamp,
            epoch & 0xFFFF,
            second & 0x7F,
            second >> 7,
            size,
            0,
            index,
        )
        words[sent_echo] += 1
        words[committed] = highest

    def resend_to_echo(size: int) -> None:
        # The error may be an earlier packet's (ICMP); it is cleared by being told, so this one goes once more.
        count(Word.ECHO_ERROR)
        try:
            echo_send(view[:size])
        except OSError:
            count(Word.ECHO_ERROR)

    def echo_reader(  # noqa: C901 as above
        echo_read: Callable[..., tuple[int, list[tuple[int, int, bytes]], int, object]],
    ) -> Handler:
        def from_echo() -> None:
            try:
                size, ancillary, flags, _ = echo_read(buffers, TIMESTAMP_SPACE)
            except BlockingIOError:
                return
            except OSError:
                count(Word.ECHO_ERROR)
                return
            words[read_echo] += 1
            if ancillary:
                seconds, nanoseconds = unpack_stamp(ancillary[0][2])
                returned = seconds * NS_PER_SECOND + nanoseconds
            else:
                returned = now_ns()
            if flags & truncated:
                count(Word.OVERSIZE)
                return
            plain = size >= FIXED_HEADER_BYTES and buffer[0] == PLAIN_FIRST_BYTE
            if (not plain or FIRST_RTCP_BYTE <= buffer[1] <= LAST_RTCP_BYTE) and drop_defect(size):
                return
            _, _, sequence, _, ssrc = unpack_header(buffer)
            reference = highest if ssrc == current_ssrc else previous_highest if ssrc == previous_ssrc else 0
            index = reference + ((sequence - reference + 0x8000) & 0xFFFF) - 0x8000
            row = first_row + (index % ROWS_PER_SLOT) * ROW_BYTES
            word = row // 8
            if words[word + INDEX_OFFSET_WORDS] != index or ints[row // 4 + SSRC_OFFSET_INTS] != ssrc or not reference:
                count(Word.UNMATCHED)
                return
            answered = row // 2 + ANSWERED_OFFSET_SHORTS
            if shorts[answered]:
                count(Word.DUPLICATE_ECHO)
                return
            if returned - words[word + SENT_OFFSET_WORDS] > LOST_AFTER_NS:
                count(Word.TOO_LATE)
                return
            forwarded = now_ns()
            try:
                asterisk_send(view[:size])
                words[sent_asterisk] += 1
            except OSError:
                count(Word.ASTERISK_ERROR)
            pack_answer(memory, row + ANSWER_OFFSET, returned, forwarded)
            shorts[answered] = 1

        return from_echo

    def use_echo(another: socket.socket) -> Handler:
        nonlocal echo_send
        echo_send = another.send
        return echo_reader(another.recvmsg_into)

    def drain_queued() -> None:
        # Bounded by more than a receive buffer holds; a peer that floods stays checked by hand, which is only slower.
        for _ in range(LARGEST_CHECKED_BATCH):
            from_asterisk()
            if not unchecked:
                return

    return PacketPath(from_asterisk, echo_reader(echo.recvmsg_into), use_echo, drain_queued)

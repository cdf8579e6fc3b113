"""One call's packets, both ways: read, stamp, match, count, send. What runs for every packet is here and only here.

From Asterisk: a = kernel stamp, x = just before the send to the echo; a row is written. From the echo: r = kernel
stamp, y = just before the send to Asterisk; the row is closed. The sockets are connected, so the kernel lets in exact
peers only; what was queued before the connect is checked by hand until the queue was empty once. Nothing here raises
for anything that a peer sends, and bytes are never changed, the opt-in extension on the echo's leg excepted.

Closures over local names instead of objects: attribute look-ups were a tenth of the cost of a packet.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from rtppool_core import echo_extension as extension
from rtppool_core.rtp import FIRST_RTCP_BYTE, FIXED_HEADER, FIXED_HEADER_BYTES, LAST_RTCP_BYTE, defect
from rtppool_core.statistics import MAX_DROPOUT, MAX_MISORDER
from rtppool_core.udp import NS_PER_SECOND, SO_TIMESTAMPING, TIMESPEC, TIMESTAMPING_SPACE, TOS_SPACE, wants_tos
from rtppool_relay.departure_stamps import ONE_IN, open_stamped_sends
from rtppool_relay.packet_buffer import START, PacketBuffer
from rtppool_relay.rows import (
    ANSWER,
    ANSWER_OFFSET,
    ANSWERED_OFFSET_SHORTS,
    BYTES_OFFSET_SHORTS,
    DEPARTURE,
    DEPARTURE_ERRORS,
    DEPARTURE_ERRORS_OFFSET_WORDS,
    DROP_REASONS,
    ECHO_MEASURED,
    ECHO_MEASURED_OFFSET,
    HEADER_BYTES,
    INDEX_OFFSET_WORDS,
    LARGEST_ECHO_RESIDENCE_NS,
    LOST_AFTER_NS,
    ROW_BYTES,
    ROWS_PER_SLOT,
    SENT_OFFSET_WORDS,
    SSRC_OFFSET_INTS,
    Word,
    slot_offset,
)

# Version 2, no padding, extension or CSRC: the form of nearly every packet.
PLAIN_FIRST_BYTE = 0x80
LARGEST_CHECKED_BATCH = 1024
DSCP_BITS = 0xFC
# Half-way between stamped sends to the echo, so that a packet is never stamped twice.
STAMPED_ANSWER = ONE_IN // 2
_ANCILLARY_SPACE = TIMESTAMPING_SPACE + TOS_SPACE
_STAMP_AND_TOS = 2
_PAYLOAD_OFFSET = START + FIXED_HEADER_BYTES

Handler = Callable[[], None]
Ancillary = list[tuple[int, int, bytes]]


@dataclass(slots=True)
class PacketPath:
    """What the loop needs of one call: a handler for each descriptor, the switch to another echo, the first reads.

    `drain_queued` takes what came before the sockets were connected, sender by sender; call it once, first.
    """

    from_asterisk: Handler
    from_echo: Handler
    use_echo: Callable[[socket.socket], Handler]
    drain_queued: Handler


@dataclass(frozen=True, slots=True)
class Leg:
    """How a call's packets are sent: `tos` as both sockets mark them; `extend`: with the echo's header extension."""

    peer: tuple[str, int]
    tos: int = 0
    extend: bool = False


def open_packet_path(  # noqa: C901, PLR0915 one closure's worth of state, split by direction inside
    memory: memoryview,
    slot: int,
    asterisk: socket.socket,
    echo: socket.socket,
    leg: Leg,
    buffer: PacketBuffer,
    now_ns: Callable[[], int] = time.time_ns,
) -> PacketPath:
    """Join two connected sockets. `memory` is the whole of the shared rows; the slot goes on where it stood."""
    words = memory.cast("Q")
    shorts = memory.cast("H")
    ints = memory.cast("I")
    start = slot_offset(slot)
    head = start // 8
    first_row = start + HEADER_BYTES
    errors = head + DEPARTURE_ERRORS_OFFSET_WORDS
    data = buffer.data
    plain_views, extended_views = buffer.plain, buffer.extended
    into_asterisk, into_echo = buffer.from_asterisk, buffer.from_echo
    unpack_header = FIXED_HEADER.unpack_from
    unpack_stamp = TIMESPEC.unpack_from
    pack_departure = DEPARTURE.pack_into
    pack_answer = ANSWER.pack_into
    asterisk_send = asterisk.send
    asterisk_read = asterisk.recvmsg_into
    echo_send = echo.send
    truncated = socket.MSG_TRUNC
    peer, tos, extend = leg.peer, leg.tos, leg.extend
    dscp_bits = DSCP_BITS if wants_tos(asterisk) and wants_tos(echo) else 0

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

    def record_departure_error(error_ns: int) -> None:
        stamped = head + Word.DEPARTURES_STAMPED
        # A step of the clock between reading and stamp may make it negative; that says nothing of our departures.
        if error_ns >= 0:
            words[errors + words[stamped] % DEPARTURE_ERRORS] = error_ns
            words[stamped] += 1

    stamped_to_asterisk = open_stamped_sends(asterisk, record_departure_error)
    stamped_to_echo = open_stamped_sends(echo, record_departure_error)

    def stamp_among(ancillary: Ancillary) -> int:
        """The arrival where the kernel gives other things beside it, or nothing at all."""
        for level, kind, told in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
                seconds, nanoseconds = unpack_stamp(told)
                return int(seconds) * NS_PER_SECOND + int(nanoseconds)
        return now_ns()

    def drop_defect(at: int, size: int) -> bool:
        reason = defect(memoryview(data)[at:], size)
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
            size, ancillary, flags, sender = asterisk_read(into_asterisk, _ANCILLARY_SPACE)
        except BlockingIOError:
            unchecked = False
            stamped_to_asterisk.collect()
            return
        except OSError:
            count(Word.ASTERISK_ERROR)
            return
        words[read_asterisk] += 1
        if len(ancillary) == _STAMP_AND_TOS:
            seconds, nanoseconds = unpack_stamp(ancillary[0][2])
            arrived = seconds * NS_PER_SECOND + nanoseconds
            if (ancillary[1][2][0] ^ tos) & dscp_bits:
                words[head + Word.SOURCE_DSCP_MISMATCH] += 1
        else:
            arrived = stamp_among(ancillary)
        if unchecked and sender[:2] != peer:
            count(Word.OFF_SOURCE)
            return
        if flags & truncated:
            count(Word.OVERSIZE)
            return
        plain = size >= FIXED_HEADER_BYTES and data[START] == PLAIN_FIRST_BYTE
        if (not plain or FIRST_RTCP_BYTE <= data[START + 1] <= LAST_RTCP_BYTE) and drop_defect(START, size):
            return
        _, second, sequence, timestamp, ssrc = unpack_header(data, START)
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
        packet = extended(size) if extend and plain else plain_views[size]
        departed = now_ns()
        try:
            if index % ONE_IN:
                echo_send(packet)
            else:
                stamped_to_echo.send(packet, departed)
        except OSError:
            resend_to_echo(packet)
        row = first_row + (index % ROWS_PER_SLOT) * ROW_BYTES
        words[row // 8 + INDEX_OFFSET_WORDS] = 0
        pack_departure(
            memory, row, arrived, departed, ssrc, timestamp, epoch & 0xFFFF, second & 0x7F, second >> 7, size, index
        )
        words[sent_echo] += 1
        words[committed] = highest

    def extended(size: int) -> memoryview:
        data[:FIXED_HEADER_BYTES] = data[START:_PAYLOAD_OFFSET]
        data[0] = extension.FIRST_BYTE
        data[FIXED_HEADER_BYTES:_PAYLOAD_OFFSET] = extension.UNFILLED
        return extended_views[START + size]

    def resend_to_echo(packet: memoryview) -> None:
        # The error may be an earlier packet's (ICMP); it is cleared by being told, so this one goes once more.
        count(Word.ECHO_ERROR)
        try:
            echo_send(packet)
        except OSError:
            count(Word.ECHO_ERROR)

    def without_extension(size: int, row: int) -> memoryview:
        """Take out what `extended` has put in, and keep what the echo wrote there."""
        if data[extension.MARK_OFFSET : extension.MARK_END] == extension.FILLED_MARK:
            received, held_since, sent = extension.MEASURED.unpack_from(data, extension.MEASURED_OFFSET)
            held = min(max(sent - held_since, 0), LARGEST_ECHO_RESIDENCE_NS)
            ECHO_MEASURED.pack_into(memory, row + ECHO_MEASURED_OFFSET, received, held)
        data[START:_PAYLOAD_OFFSET] = data[:FIXED_HEADER_BYTES]
        data[START] = PLAIN_FIRST_BYTE
        return plain_views[size - START]

    def echo_reader(  # noqa: C901 as above
        echo_read: Callable[..., tuple[int, Ancillary, int, object]], collect_stamps: Handler
    ) -> Handler:
        def from_echo() -> None:  # noqa: C901, PLR0912 as above
            try:
                size, ancillary, flags, _ = echo_read(into_echo, _ANCILLARY_SPACE)
            except BlockingIOError:
                collect_stamps()
                return
            except OSError:
                count(Word.ECHO_ERROR)
                return
            words[read_echo] += 1
            if len(ancillary) == _STAMP_AND_TOS:
                seconds, nanoseconds = unpack_stamp(ancillary[0][2])
                returned = seconds * NS_PER_SECOND + nanoseconds
                if (ancillary[1][2][0] ^ tos) & dscp_bits:
                    words[head + Word.DSCP_CHANGED] += 1
            else:
                returned = stamp_among(ancillary)
            if flags & truncated:
                count(Word.OVERSIZE)
                return
            plain = size >= FIXED_HEADER_BYTES and data[0] == PLAIN_FIRST_BYTE
            if (not plain or FIRST_RTCP_BYTE <= data[1] <= LAST_RTCP_BYTE) and drop_defect(0, size):
                return
            _, _, sequence, _, ssrc = unpack_header(data)
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
            packet = extended_views[size]
            # The extension that we put in is there when the answer is longer than what Asterisk sent by just that.
            if extend and data[0] == extension.FIRST_BYTE and size == shorts[row // 2 + BYTES_OFFSET_SHORTS] + START:
                packet = without_extension(size, row)
            forwarded = now_ns()
            try:
                if index % ONE_IN == STAMPED_ANSWER:
                    stamped_to_asterisk.send(packet, forwarded)
                else:
                    asterisk_send(packet)
                words[sent_asterisk] += 1
            except OSError:
                count(Word.ASTERISK_ERROR)
            pack_answer(memory, row + ANSWER_OFFSET, returned, forwarded)
            shorts[answered] = 1

        return from_echo

    def use_echo(another: socket.socket) -> Handler:
        nonlocal echo_send, stamped_to_echo
        wants_tos(another)
        echo_send = another.send
        stamped_to_echo = open_stamped_sends(another, record_departure_error)
        return echo_reader(another.recvmsg_into, stamped_to_echo.collect)

    def drain_queued() -> None:
        # Bounded by more than a receive buffer holds; a peer that floods stays checked by hand, which is only slower.
        for _ in range(LARGEST_CHECKED_BATCH):
            from_asterisk()
            if not unchecked:
                return

    return PacketPath(from_asterisk, echo_reader(echo.recvmsg_into, stamped_to_echo.collect), use_echo, drain_queued)

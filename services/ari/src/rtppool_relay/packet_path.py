"""One call's packets, both ways: read, stamp, match, count, send. What runs for every packet is here and only here.

From Asterisk: a = kernel stamp, x = just before the send to the echo; a row is written. From the echo: r = kernel
stamp, y = just before the send to Asterisk; the row is closed. The sockets are connected, so the kernel lets in exact
peers only; what was queued before the connect is checked by hand until the queue was empty once. Nothing here raises
for anything that a peer sends, and bytes are never changed, the opt-in extension on the echo's leg excepted.

The two handlers do what every packet needs; what is out of the ordinary has methods of its own. Nearly every packet
wakes the process and finds cold caches, so what counts is how much memory and how many different operations it
touches: one object for each call, one struct for each write to the shared rows.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rtppool_core import echo_extension as extension
from rtppool_core.rtp import FIRST_RTCP_BYTE, FIXED_HEADER_BYTES, RTP_VERSION, defect
from rtppool_core.statistics import MAX_DROPOUT, MAX_MISORDER
from rtppool_core.udp import NS_PER_SECOND, SO_TIMESTAMPING, TIMESPEC, TIMESTAMPING_SPACE, TOS_SPACE, wants_tos
from rtppool_relay.departure_stamps import ONE_IN, open_stamped_sends
from rtppool_relay.packet_buffer import START, PacketBuffer
from rtppool_relay.rows import (
    ANSWER,
    ANSWER_OFFSET,
    AWAITED,
    DEPARTURE,
    DEPARTURE_ERRORS,
    DEPARTURE_ERRORS_OFFSET_WORDS,
    DROP_REASONS,
    DSCP_BITS,
    ECHO_MEASURED,
    ECHO_MEASURED_OFFSET,
    HEADER_BYTES,
    LARGEST_ECHO_RESIDENCE_NS,
    LOST_AFTER_NS,
    ROW_BYTES,
    ROWS_PER_SLOT,
    WRITTEN,
    Word,
    slot_offset,
)

LARGEST_CHECKED_BATCH = 1024
# Version 2, no padding, extension or CSRC: the form of nearly every packet.
PLAIN_FIRST_BYTE = RTP_VERSION << 6
_ANCILLARY_SPACE = TIMESTAMPING_SPACE + TOS_SPACE
_PAYLOAD_OFFSET = START + FIXED_HEADER_BYTES
_UNKNOWN = -1

_read_header = struct.Struct("!BBHII").unpack_from
_read_awaited = AWAITED.unpack_from
_write_departure = DEPARTURE.pack_into
_write_answer = ANSWER.pack_into

Handler = Callable[[], None]
Ancillary = list[tuple[int, int, bytes]]


def _nanoseconds(stamp: bytes) -> int:
    seconds, nanoseconds = TIMESPEC.unpack_from(stamp)
    return int(seconds) * NS_PER_SECOND + int(nanoseconds)


@dataclass(frozen=True, slots=True)
class Leg:
    """How a call's packets are sent: `tos` as both sockets mark them; `extend`: with the echo's header extension."""

    peer: tuple[str, int]
    tos: int = 0
    extend: bool = False


class PacketPath:
    """Joins two connected sockets. `memory` is the whole of the shared rows; the slot goes on where it stood.

    `from_asterisk` and `from_echo` are called when their socket is readable or has an error. Call `drain_queued` once,
    first: it takes what came before the sockets were connected, sender by sender.
    """

    __slots__ = (
        "_asterisk_stamps",
        "_bad",
        "_buffer",
        "_data",
        "_echo_stamps",
        "_end",
        "_epoch",
        "_extend",
        "_first_index",
        "_first_row",
        "_head",
        "_highest",
        "_into_asterisk",
        "_into_echo",
        "_leg",
        "_memory",
        "_next",
        "_now",
        "_plain",
        "_previous",
        "_read_asterisk",
        "_read_echo",
        "_returned",
        "_row",
        "_send_asterisk",
        "_send_echo",
        "_sent",
        "_ssrc",
        "_stamp_answer_at",
        "_stamp_at",
        "_tos",
        "_unchecked",
        "_words",
    )

    def __init__(
        self,
        memory: memoryview,
        slot: int,
        asterisk: socket.socket,
        echo: socket.socket,
        leg: Leg,
        buffer: PacketBuffer,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        start = slot_offset(slot)
        self._memory = memory
        self._words = memory.cast("Q")
        self._head = start // 8
        self._first_row = start + HEADER_BYTES
        self._buffer = buffer
        self._data = buffer.data
        self._plain = buffer.plain
        self._returned = buffer.extended
        self._into_asterisk, self._into_echo = buffer.from_asterisk, buffer.from_echo
        self._leg = leg
        self._extend = leg.extend
        self._tos = struct.pack("=i", leg.tos) if asterisk.family == socket.AF_INET6 else bytes((leg.tos,))
        self._now = now_ns
        self._unchecked = True
        self._epoch = self._first_index = self._highest = self._sent = self._stamp_at = self._stamp_answer_at = 0
        self._ssrc = self._next = self._bad = _UNKNOWN
        self._previous: dict[int, int] = {}
        self._end = self._first_row + ROWS_PER_SLOT * ROW_BYTES
        self._row = self._first_row
        self._take_up()
        wants_tos(asterisk)
        self._read_asterisk, self._send_asterisk = asterisk.recvmsg_into, asterisk.send
        self._asterisk_stamps = open_stamped_sends(asterisk, self._record_departure_error)
        self._aim(echo)

    def from_asterisk(self) -> None:
        """Take one packet from Asterisk to the echo."""
        read = self._read_asterisk
        try:
            size, ancillary, flags, sender = read(self._into_asterisk, _ANCILLARY_SPACE)
        except OSError as error:
            self._nothing_from_asterisk(error)
            return
        try:
            (_, _, stamp), (_, _, tos) = ancillary
        except ValueError:
            stamp, tos = self._stamp_among(ancillary), self._tos
        first, second, sequence, timestamp, ssrc = _read_header(self._data, START)
        if (
            size < FIXED_HEADER_BYTES
            or first != PLAIN_FIRST_BYTE
            or second >= FIRST_RTCP_BYTE
            or flags
            or self._unchecked
        ) and self._unfit_from_asterisk(size, flags, sender):
            return
        if sequence == self._next and ssrc == self._ssrc:
            self._highest = index = self._highest + 1
            self._next = (sequence + 1) & 0xFFFF
            row = self._row + ROW_BYTES
            if row == self._end:
                row = self._first_row
            self._row = row
        else:
            index = self._index_out_of_line(sequence, ssrc)
            if not index:
                return
            row = self._row_of(index)
        packet = self._extended(size) if self._extend and first == PLAIN_FIRST_BYTE else self._plain[size]
        now = self._now
        departed = now()
        try:
            if index < self._stamp_at:
                send = self._send_echo
                send(packet)
            else:
                self._stamp_at = index + ONE_IN
                self._echo_stamps.send(packet, departed)
        except OSError:
            self._resend_to_echo(packet)
        self._sent = sent = (self._sent + 1) & 0xFFFF
        _write_departure(
            self._memory, row, stamp, departed, ssrc, timestamp, self._epoch, second, tos, size, sent, index
        )
        if self._extend:
            ECHO_MEASURED.pack_into(self._memory, row + ECHO_MEASURED_OFFSET, 0, 0)

    def from_echo(self) -> None:
        """Take one answer of the echo to Asterisk."""
        read = self._read_echo
        try:
            size, ancillary, flags, _ = read(self._into_echo, _ANCILLARY_SPACE)
        except OSError as error:
            self._nothing_from_echo(error)
            return
        try:
            (_, _, stamp), (_, _, tos) = ancillary
        except ValueError:
            stamp, tos = self._stamp_among(ancillary), self._tos
        first, second, sequence, _, ssrc = _read_header(self._data)
        if (
            size < FIXED_HEADER_BYTES or first != PLAIN_FIRST_BYTE or second >= FIRST_RTCP_BYTE or flags
        ) and self._unfit(0, size, flags):
            return
        if tos != self._tos and (tos[0] ^ self._tos[0]) & DSCP_BITS:
            self._count(Word.DSCP_CHANGED)
        highest = self._highest if ssrc == self._ssrc else self._previous.get(ssrc, _UNKNOWN)
        index = highest - ((highest - sequence) & 0xFFFF)
        row = self._first_row + index % ROWS_PER_SLOT * ROW_BYTES
        now = self._now
        forwarded = now()
        sent_at, sent_bytes, awaited, answered_at = _read_awaited(self._memory, row)
        if (awaited != index or answered_at or forwarded - sent_at > LOST_AFTER_NS) and self._unwanted(
            awaited != index, answered_at != 0, sent_at, stamp
        ):
            return
        packet = self._returned[size]
        # The extension that we put in is there when the answer is longer than what Asterisk sent by just that.
        if self._extend and size == sent_bytes + START and first == extension.FIRST_BYTE:
            packet = self._without_extension(size, row)
        try:
            if index < self._stamp_answer_at:
                send = self._send_asterisk
                send(packet)
            else:
                self._stamp_answer_at = index + ONE_IN
                self._asterisk_stamps.send(packet, forwarded)
        except OSError:
            self._count(Word.RETURN_FAILED)
        _write_answer(self._memory, row + ANSWER_OFFSET, stamp, forwarded)

    def use_echo(self, another: socket.socket) -> Handler:
        """Send to another echo from now on, whose handler is `from_echo`. Returns the old one's handler."""
        old = partial(self._from_old_echo, self._read_echo, self._echo_stamps.collect)
        self._aim(another)
        return old

    def drain_queued(self) -> None:
        """See the class."""
        # Bounded by more than a receive buffer holds; a peer that floods stays checked by hand, which is only slower.
        for _ in range(LARGEST_CHECKED_BATCH):
            self.from_asterisk()
            if not self._unchecked:
                return

    def _take_up(self) -> None:
        """Go on where the slot stands: a media process before this one may have died."""
        words, head = self._words, self._head
        words[head + Word.TOS] = self._leg.tos
        epoch = words[head + Word.EPOCH]
        if not epoch:
            return
        self._epoch = epoch & 0xFFFF
        self._ssrc = words[head + Word.SSRC]
        self._first_index = words[head + Word.FIRST_INDEX]
        written = list(WRITTEN.iter_unpack(self._memory[self._first_row : self._end]))
        _, _, self._sent, _ = max(written)
        # No row shows a stream that began with the very last packet that the other process read.
        self._expect(max(self._first_index, *(index for *_, index in written)))
        self._stamp_at = self._highest - self._highest % ONE_IN
        self._stamp_answer_at = self._stamp_at + ONE_IN // 2

    def _expect(self, highest: int) -> None:
        """The packet with this index is the latest of its stream; the next one is expected."""
        self._highest = highest
        self._next = (highest + 1) & 0xFFFF
        self._row = self._row_of(highest)

    def _row_of(self, index: int) -> int:
        return self._first_row + index % ROWS_PER_SLOT * ROW_BYTES

    def _aim(self, echo: socket.socket) -> None:
        wants_tos(echo)
        self._read_echo, self._send_echo = echo.recvmsg_into, echo.send
        self._echo_stamps = open_stamped_sends(echo, self._record_departure_error)

    def _from_old_echo(self, read: Callable[..., tuple[int, Ancillary, int, object]], collect: Handler) -> None:
        current, self._read_echo = self._read_echo, read
        collect()
        self.from_echo()
        self._read_echo = current

    def _nothing_from_asterisk(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._count(Word.ASTERISK_ERROR)
            return
        self._unchecked = False
        self._asterisk_stamps.collect()

    def _nothing_from_echo(self, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            self._echo_stamps.collect()
        else:
            self._count(Word.ECHO_ERROR)

    def _stamp_among(self, ancillary: Ancillary) -> bytes:
        """The arrival where the kernel gives other things beside it, or nothing at all."""
        for level, kind, told in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
                return told
        return TIMESPEC.pack(*divmod(self._now(), NS_PER_SECOND))

    def _unfit_from_asterisk(self, size: int, flags: int, sender: tuple[str, int]) -> bool:
        if self._unchecked and sender[:2] != self._leg.peer:
            self._count(Word.OFF_SOURCE)
            return True
        return self._unfit(START, size, flags)

    def _unfit(self, at: int, size: int, flags: int) -> bool:
        """Whether what was read is cut or no RTP packet; counts why."""
        if flags & socket.MSG_TRUNC:
            self._count(Word.OVERSIZE)
            return True
        reason = defect(memoryview(self._data)[at:], size)
        if reason is None:
            return False
        self._count(DROP_REASONS[reason])
        return True

    def _index_out_of_line(self, sequence: int, ssrc: int) -> int:
        """The index of a packet that is not the next one; 0 to drop it (RFC 3550 A.1)."""
        if ssrc != self._ssrc:
            return self._begin_epoch(sequence, ssrc)
        ahead = (sequence - self._highest) & 0xFFFF
        if 0 < ahead < MAX_DROPOUT:
            self._expect(self._highest + ahead)
            return self._highest
        if ahead > 65536 - MAX_MISORDER or ahead == 0:
            return self._index_of_overtaken(self._highest - ((65536 - ahead) & 0xFFFF))
        if sequence == self._bad:
            return self._begin_epoch(sequence, ssrc)
        self._bad = (sequence + 1) & 0xFFFF
        self._count(Word.BAD_SEQUENCE)
        return 0

    def _index_of_overtaken(self, index: int) -> int:
        if index >= self._first_index and _read_awaited(self._memory, self._row_of(index))[2] != index:
            return index
        self._count(Word.DUPLICATE_SOURCE)
        return 0

    def _begin_epoch(self, sequence: int, ssrc: int) -> int:
        # Answers of the source before still count; of all sources before that, none does.
        self._previous = {self._ssrc: self._highest} if ssrc != self._ssrc else {}
        words, head = self._words, self._head
        self._first_index = ((self._highest >> 16) + 2) << 16 | sequence
        self._expect(self._first_index)
        self._ssrc = ssrc
        self._bad = _UNKNOWN
        words[head + Word.EPOCH] += 1
        words[head + Word.FIRST_INDEX] = self._first_index
        words[head + Word.SSRC] = ssrc
        self._epoch = words[head + Word.EPOCH] & 0xFFFF
        return self._first_index

    def _extended(self, size: int) -> memoryview:
        data = self._data
        data[:FIXED_HEADER_BYTES] = data[START:_PAYLOAD_OFFSET]
        data[0] = extension.FIRST_BYTE
        data[FIXED_HEADER_BYTES:_PAYLOAD_OFFSET] = extension.UNFILLED
        return self._buffer.extended[START + size]

    def _without_extension(self, size: int, row: int) -> memoryview:
        """Take out what `_extended` has put in, and keep what the echo wrote there."""
        data = self._data
        if data[extension.MARK_OFFSET : extension.MARK_END] == extension.FILLED_MARK:
            received, held_since, sent = extension.MEASURED.unpack_from(data, extension.MEASURED_OFFSET)
            held = min(max(sent - held_since, 0), LARGEST_ECHO_RESIDENCE_NS)
            ECHO_MEASURED.pack_into(self._memory, row + ECHO_MEASURED_OFFSET, received, held)
        data[START:_PAYLOAD_OFFSET] = data[:FIXED_HEADER_BYTES]
        data[START] = PLAIN_FIRST_BYTE
        return self._plain[size - START]

    def _resend_to_echo(self, packet: memoryview) -> None:
        # The error may be an earlier packet's (ICMP); it is cleared by being told, so this one goes once more.
        self._count(Word.ECHO_ERROR)
        try:
            self._send_echo(packet)
        except OSError:
            self._count(Word.ECHO_ERROR)

    def _unwanted(self, unmatched: bool, answered: bool, sent_at: int, stamp: bytes) -> bool:
        """Whether an answer belongs to nothing that is still awaited; counts why."""
        if unmatched:
            self._count(Word.UNMATCHED)
        elif answered:
            self._count(Word.DUPLICATE_ECHO)
        elif _nanoseconds(stamp) - sent_at > LOST_AFTER_NS:
            self._count(Word.TOO_LATE)
        else:
            # It was in time; we are late ourselves.
            return False
        return True

    def _record_departure_error(self, error_ns: int) -> None:
        # A step of the clock between reading and stamp may make it negative; that says nothing of our departures.
        if error_ns < 0:
            return
        stamped = self._words[self._head + Word.DEPARTURES_STAMPED]
        at = self._head + DEPARTURE_ERRORS_OFFSET_WORDS + stamped % DEPARTURE_ERRORS
        self._words[at] = error_ns
        self._count(Word.DEPARTURES_STAMPED)

    def _count(self, word: Word) -> None:
        self._words[self._head + word] += 1

"""The packet path: a call's packets from Asterisk to the echo and back, compiled to machine code.

From Asterisk: a is the kernel's stamp, x the time just before the send to the echo; a row is written. From the echo: r
is the kernel's stamp, y the time just before the send to Asterisk; the row is completed. Rows are written before the
send, so that a media process that dies between two packets leaves no half-written row.

The sockets are connected: the kernel accepts packets of the exact peers only. Packets queued before the connect are
checked one by one until the queue was empty once. No packet of a peer makes this code fail. Bytes are never changed,
except by the opt-in extension between relay and echo.

numba compiles numbers and arrays only. A shifted byte stays a byte there, and a signed with an unsigned 64-bit number
gives a float. So every number from a row or a buffer is made `signed` first.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtppool_core.compiled.system_calls import clock_gettime, epoll_wait, error_number, fence, signed
from rtppool_core.rtp import echo_extension as extension
from rtppool_core.rtp import header as rtp
from rtppool_core.rtp.serial import MAX_DROPOUT, MAX_MISORDER
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.media.rows import (
    DSCP_BITS,
    LOST_AFTER_NS,
    MAX_ECHO_RESIDENCE_NS,
    MIN_SLOW_ECHO_NS,
    RAW_UNIT_BITS,
    RAW_UNIT_NS,
    RAW_UNITS,
    SEQUENCE_OFFSET_WORD,
    UNKNOWN_CPU,
    Word,
)
from rtppool_relay.media.sizes import ROWS_PER_SLOT
from rtppool_relay.packets.arrivals import arrival_processor, processor, receive, was_cut
from rtppool_relay.packets.compiled import compiled
from rtppool_relay.packets.departure_stamps import collect_stamps, send_packet
from rtppool_relay.packets.layout import (
    ASTERISK_LEG,
    FROM_ASTERISK,
    FROM_ASTERISK_WITH_SENDER,
    FROM_ECHO,
    LOCAL_ECHO_LEG,
    MAX_DATAGRAM,
    MAX_EVENTS,
    MAX_SOURCES,
    ONE_IN,
    START,
    UNKNOWN,
)
from rtppool_relay.packets.memory import Media

Bytes = NDArray[np.uint8]

# More datagrams than a receive buffer holds.
MAX_CHECKED_BATCH = 1024

_defect_at: Callable[[Bytes, int, int], int] = compiled(rtp.defect_at)  # type: ignore[assignment]
_NO_DEFECT = rtp.NO_DEFECT
_HEADER_BYTES = rtp.FIXED_HEADER_BYTES
# Version 2, no padding, extension or CSRC: the form of nearly every packet.
_PLAIN_FIRST_BYTE = rtp.RTP_VERSION << 6
_FIRST_RTCP_BYTE = rtp.FIRST_RTCP_BYTE
_REALTIME = 0
_MONOTONIC_RAW = 4
_RAW_MASK = RAW_UNITS - 1
_WOULD_BLOCK = errno.EAGAIN
_INTERRUPTED = errno.EINTR
_FOREVER = -1
_NEVER = 1 << 40
# Between the latest rows of two streams: more than a call sends in the 2 s in which answers count.
MIN_ROWS_APART = ROWS_PER_SLOT // MAX_SOURCES
# A longer leg to the echo becomes the usual one after some hundred packets.
USUAL_ECHO_PACKETS = 64
# Two seconds of a clock of 48 kHz: `MAX_MISORDER` packets of 20 ms.
MAX_EARLIER_TICKS = 96_000
_FIRST_DEFECT = int(Word.SHORT)
_EPOCH = int(Word.EPOCH)
_SSRC = int(Word.SSRC)
_FIRST_INDEX = int(Word.FIRST_INDEX)
_DSCP_CHANGED = int(Word.DSCP_CHANGED)
_DUPLICATE_SOURCE = int(Word.DUPLICATE_SOURCE)
_DUPLICATE_ECHO = int(Word.DUPLICATE_ECHO)
_TOO_LATE = int(Word.TOO_LATE)
_UNMATCHED = int(Word.UNMATCHED)
_OFF_SOURCE = int(Word.OFF_SOURCE)
_BAD_SEQUENCE = int(Word.BAD_SEQUENCE)
_OVERSIZE = int(Word.OVERSIZE)
_ECHO_ERROR = int(Word.ECHO_ERROR)
_ASTERISK_ERROR = int(Word.ASTERISK_ERROR)
_RETURN_FAILED = int(Word.RETURN_FAILED)
_EXTENSION_BYTES = extension.EXTENSION_BYTES
_EXTENDED_FIRST_BYTE = extension.FIRST_BYTE
_MARK_OFFSET = extension.MARK_OFFSET
_FILLED_OFFSET = extension.FILLED_OFFSET
_HOST_OFFSET = extension.HOST_OFFSET
_COUNT_OFFSET = extension.COUNT_OFFSET
_RECEIVED_OFFSET = extension.RECEIVED_OFFSET
_SENT_OFFSET = extension.SENT_OFFSET
# Of a struct sockaddr: family and port, then the address; sockaddr_in6 has the flow between them.
_PORT_END = 4
_IPV4_END = 8
_IPV6_START, _IPV6_END = 8, 24
_AF_INET6 = int(socket.AF_INET6)


@compiled
def forward(media: Media) -> bool:
    """Forward packets until the command socket is readable. Return False when epoll fails."""
    commanded = False
    while not commanded:
        readable = epoll_wait(media.epoll, media.events_address, MAX_EVENTS, _FOREVER)
        if readable < 0 and error_number() != _INTERRUPTED:
            return False
        for place in range(readable):
            descriptor = signed(media.events[place].descriptor)
            if descriptor == media.commands:
                commanded = True
                continue
            link = media.sockets[descriptor]
            if link.leg == ASTERISK_LEG:
                from_asterisk(media, link.slot)
            else:
                from_echo(media, descriptor)
    return True


@compiled
def from_asterisk(media: Media, slot: int) -> None:
    """Forward one packet of a call from Asterisk to the echo."""
    call = media.calls[slot]
    which = FROM_ASTERISK_WITH_SENDER if call.unchecked else FROM_ASTERISK
    size, seconds, nanoseconds, tos = receive(media, call.asterisk, which)
    if size < 0:
        _nothing_from_asterisk(media, slot)
        return
    if call.unchecked and not _is_peer(media, slot):
        media.words[slot, _OFF_SOURCE] += 1
        return
    if _is_unfit(media, slot, which, START, size):
        return
    data = media.data
    sequence, timestamp, ssrc = _header(data, START)
    if sequence == call.next and ssrc == call.ssrc:
        call.highest += 1
        call.next = (sequence + 1) & 0xFFFF
        index = call.highest
    else:
        index = _index_out_of_line(media, slot, sequence, timestamp, ssrc)
        if index == 0:
            return
    row = media.rows[slot, index % ROWS_PER_SLOT]
    # A row has no index while it is incomplete, so that no reader takes it.
    row.index = 0
    fence()
    row.y = 0
    row.r_seconds = row.r_nanoseconds = 0
    row.ssrc, row.timestamp = ssrc, timestamp
    row.epoch, row.second_byte = call.epoch & 0xFFFF, data[START + 1]
    row.tos = tos if tos >= 0 else call.tos
    row.bytes = size
    call.sent = (call.sent + 1) & 0xFFFF
    row.ordinal = call.sent
    at = START
    if call.extend:
        row.echo_count = row.echo_residence_ns = row.echo_host = 0
        if data[START] == _PLAIN_FIRST_BYTE:
            at = 0
            _extend(media)
            size += _EXTENSION_BYTES
    departed = now_ns(media)
    if seconds < 0:
        seconds, nanoseconds = departed // NS_PER_SECOND, departed % NS_PER_SECOND
    row.a_seconds, row.a_nanoseconds = seconds, nanoseconds
    row.x = departed
    row.x_raw = raw_units(media)
    row.x_cpu = processor()
    fence()
    row.index = index
    _send_to_echo(media, slot, index, at, size, departed)


@compiled
def from_echo(media: Media, descriptor: int) -> None:
    """Forward one answer of a call's current or former echo to Asterisk."""
    slot = media.sockets[descriptor].slot
    call = media.calls[slot]
    size, seconds, nanoseconds, tos = receive(media, descriptor, FROM_ECHO)
    if size < 0:
        _nothing_from_echo(media, slot, descriptor)
        return
    if _is_unfit(media, slot, FROM_ECHO, 0, size):
        return
    # The buffer has room for an extension, which the packets of this call do not have.
    if size > MAX_DATAGRAM and not call.extend:
        media.words[slot, _OVERSIZE] += 1
        return
    if tos >= 0 and (tos ^ call.tos) & DSCP_BITS:
        media.words[slot, _DSCP_CHANGED] += 1
    data = media.data
    sequence, _, ssrc = _header(data, 0)
    index = _index_of_answer(media, slot, sequence, ssrc)
    forwarded, forwarded_raw = now_ns(media), raw_units(media)
    if seconds < 0:
        seconds, nanoseconds = forwarded // NS_PER_SECOND, forwarded % NS_PER_SECOND
    if _is_unwanted(media, slot, index, forwarded_raw, forwarded - (seconds * NS_PER_SECOND + nanoseconds)):
        return
    row = media.rows[slot, index % ROWS_PER_SLOT]
    at = 0
    # An answer that is longer than Asterisk's packet by exactly the extension still has it.
    if call.extend and size == row.bytes + _EXTENSION_BYTES and data[0] == _EXTENDED_FIRST_BYTE:
        _take_out_extension(media, slot, index)
        at = START
        size -= _EXTENSION_BYTES
    row.r_seconds, row.r_nanoseconds = seconds, nanoseconds
    row.y_raw = forwarded_raw
    row.y_cpu, row.echo_is_local = processor(), media.sockets[descriptor].leg == LOCAL_ECHO_LEG
    is_slow = _is_slow(call, seconds * NS_PER_SECOND + nanoseconds - row.x)
    row.r_cpu = arrival_processor(media, descriptor) if is_slow else UNKNOWN_CPU
    fence()
    row.y = forwarded
    stamped = index >= call.stamp_answer_at
    if stamped:
        call.stamp_answer_at = index + ONE_IN
    if not send_packet(media, call.asterisk, at, size, forwarded, stamped):
        media.words[slot, _RETURN_FAILED] += 1


@compiled
def _index_of_answer(media: Media, slot: int, sequence: int, ssrc: int) -> int:
    """Return the index of the row that an answer belongs to, of the current stream or one before; or one of no row."""
    call = media.calls[slot]
    index = signed(UNKNOWN)
    if ssrc == call.ssrc:
        index = _latest_index(call.highest, sequence + call.offset)
        if _has_row(media, slot, index):
            return index
    for at in range(MAX_SOURCES):
        source = media.sources[slot, at]
        if source.used and source.ssrc == ssrc:
            earlier = _latest_index(source.highest, sequence + source.offset)
            if _has_row(media, slot, earlier):
                return earlier
    return index


@compiled
def _latest_index(highest: int, number: int) -> int:
    """Return the latest index up to `highest` with the low 16 bits of `number`."""
    return highest - ((highest - number) & 0xFFFF)


@compiled
def _has_row(media: Media, slot: int, index: int) -> bool:
    return bool(signed(media.rows[slot, index % ROWS_PER_SLOT].index) == index)


@compiled
def _is_unwanted(media: Media, slot: int, index: int, now_raw: int, waited_ns: int) -> bool:
    """Return whether no row awaits this answer, and count the reason. It waited in the socket for `waited_ns`."""
    row = media.rows[slot, index % ROWS_PER_SLOT]
    if signed(row.index) != index:
        media.words[slot, _UNMATCHED] += 1
        return True
    if row.y != 0:
        media.words[slot, _DUPLICATE_ECHO] += 1
        return True
    # By CLOCK_MONOTONIC_RAW, so that a step of the wall clock costs no packet. Without the time in the socket, because
    # a busy relay reads a timely answer late.
    if ((now_raw - signed(row.x_raw)) & _RAW_MASK) * RAW_UNIT_NS - max(waited_ns, 0) > LOST_AFTER_NS:
        media.words[slot, _TOO_LATE] += 1
        return True
    return False


@compiled
def _is_slow(call: Any, echo_ns: int) -> bool:
    """Return whether the echo's leg was longer than the call's usual one by more than `MIN_SLOW_ECHO_NS`."""
    # Negative after a step of the wall clock.
    longer_ns = max(echo_ns, 0) - call.usual_echo_ns
    call.usual_echo_ns += longer_ns if longer_ns < 0 else longer_ns // USUAL_ECHO_PACKETS
    return bool(longer_ns > MIN_SLOW_ECHO_NS)


@compiled
def drain_queued(media: Media, slot: int) -> None:
    """Forward the packets queued before the connect; each one's sender is checked."""
    # Bounded. After a flood, senders are still checked in `from_asterisk`, which is only slower.
    for _ in range(MAX_CHECKED_BATCH):
        from_asterisk(media, slot)
        if not media.calls[slot].unchecked:
            return


@compiled
def now_ns(media: Media) -> int:
    """Return the wall clock's time."""
    clock_gettime(_REALTIME, media.clock_address)
    return media.clock[0] * NS_PER_SECOND + media.clock[1] + media.clock_offset_ns[0]  # type: ignore[no-any-return]


@compiled
def raw_units(media: Media) -> int:
    """Return CLOCK_MONOTONIC_RAW in units of 256 ns, modulo 2^32."""
    clock_gettime(_MONOTONIC_RAW, media.clock_address)
    raw_ns = media.clock[0] * NS_PER_SECOND + media.clock[1] + media.clock_offset_ns[1]
    return (raw_ns >> RAW_UNIT_BITS) & _RAW_MASK  # type: ignore[no-any-return]


@compiled
def _header(data: Bytes, at: int) -> tuple[int, int, int]:
    """Return sequence number, timestamp and SSRC of the packet that begins at `at`."""
    return _u32(data, at) & 0xFFFF, _u32(data, at + 4), _u32(data, at + 8)


@compiled
def _u32(data: Bytes, at: int) -> int:
    number = signed(0)
    for place in range(at, at + 4):
        number = number << 8 | signed(data[place])
    return number


@compiled
def _send_to_echo(media: Media, slot: int, index: int, at: int, size: int, departed_ns: int) -> None:
    call = media.calls[slot]
    stamped = index >= call.stamp_at
    if stamped:
        call.stamp_at = index + ONE_IN
    if send_packet(media, call.echo, at, size, departed_ns, stamped):
        return
    # The error may belong to an earlier packet (ICMP). The failed send cleared it, so a second one may succeed.
    media.words[slot, _ECHO_ERROR] += 1
    if not send_packet(media, call.echo, at, size, departed_ns, stamped=False):
        media.words[slot, _ECHO_ERROR] += 1


@compiled
def _nothing_from_asterisk(media: Media, slot: int) -> None:
    call = media.calls[slot]
    if error_number() != _WOULD_BLOCK:
        media.words[slot, _ASTERISK_ERROR] += 1
        return
    call.unchecked = False
    collect_stamps(media, call.asterisk)


@compiled
def _nothing_from_echo(media: Media, slot: int, descriptor: int) -> None:
    if error_number() == _WOULD_BLOCK:
        collect_stamps(media, descriptor)
    else:
        media.words[slot, _ECHO_ERROR] += 1


@compiled
def _is_peer(media: Media, slot: int) -> bool:
    sender, peer = media.sender, media.peers[slot]
    for at in range(_PORT_END):
        if sender[at] != peer[at]:
            return False
    start, end = _PORT_END, _IPV4_END
    if peer[0] == _AF_INET6:
        start, end = _IPV6_START, _IPV6_END
    for at in range(start, end):  # noqa: SIM110 numba has no generators in `all`
        if sender[at] != peer[at]:
            return False
    return True


@compiled
def _is_unfit(media: Media, slot: int, which: int, at: int, size: int) -> bool:
    """Return whether the datagram is truncated or no RTP packet, and count the reason."""
    if was_cut(media, which):
        media.words[slot, _OVERSIZE] += 1
        return True
    defect = _defect_at(media.data, at, size)
    if defect == _NO_DEFECT:
        return False
    media.words[slot, _FIRST_DEFECT + defect] += 1
    return True


@compiled
def _index_out_of_line(media: Media, slot: int, sequence: int, timestamp: int, ssrc: int) -> int:
    """Return the index of a packet that is not the next one, or 0 to drop it (RFC 3550 A.1)."""
    call = media.calls[slot]
    if ssrc != call.ssrc and not _return_to_source(media, slot, sequence, ssrc):
        return begin_epoch(media, slot, sequence, ssrc)
    ahead = (sequence + call.offset - call.highest) & 0xFFFF
    if 0 < ahead < MAX_DROPOUT:
        expect(media, slot, call.highest + ahead)
        return call.highest  # type: ignore[no-any-return]
    if ahead > 65536 - MAX_MISORDER or ahead == 0:
        index = call.highest - ((65536 - ahead) & 0xFFFF)
        row = media.rows[slot, index % ROWS_PER_SLOT]
        is_known = signed(row.index) == index
        if not is_known and (index >= call.first_index or _is_before_first(media, slot, timestamp)):
            return index  # type: ignore[no-any-return]
        # Asterisk keeps its SSRC when its caller's source changes and follows the new sequence, also backwards. So a
        # known number with another timestamp is a jump, not a duplicate, and so is a number below the stream's first.
        if is_known and row.timestamp == timestamp:
            media.words[slot, _DUPLICATE_SOURCE] += 1
            return 0
    if sequence == call.bad:
        return begin_epoch(media, slot, sequence, ssrc)
    call.bad = (sequence + 1) & 0xFFFF
    media.words[slot, _BAD_SEQUENCE] += 1
    return 0


@compiled
def _is_before_first(media: Media, slot: int, timestamp: int) -> bool:
    """Return whether a packet with a number below the stream's first one was overtaken by it, by its timestamp."""
    first_index = media.calls[slot].first_index
    first = media.rows[slot, first_index % ROWS_PER_SLOT]
    earlier = (signed(first.timestamp) - timestamp) & 0xFFFF_FFFF
    return bool(signed(first.index) == first_index and 0 < earlier <= MAX_EARLIER_TICKS)


@compiled
def begin_epoch(media: Media, slot: int, sequence: int, ssrc: int) -> int:
    """Start a new stream of the slot with this packet and return its index."""
    call = media.calls[slot]
    _leave_source(media, slot)
    call.offset = _free_offset(media, slot, sequence)
    call.first_index = ((call.top >> 16) + 2) << 16 | ((sequence + call.offset) & 0xFFFF)
    call.ssrc = ssrc
    _publish_stream(media, slot)
    call.epoch = media.words[slot, _EPOCH]
    expect(media, slot, call.first_index)
    return call.first_index  # type: ignore[no-any-return]


@compiled
def _return_to_source(media: Media, slot: int, sequence: int, ssrc: int) -> bool:
    """Go on in the stream of a source whose packets are still under way; return False where there is none."""
    call, now_raw = media.calls[slot], raw_units(media)
    for at in range(MAX_SOURCES):
        source = media.sources[slot, at]
        if source.ssrc != ssrc or not _is_under_way(media, slot, at, now_raw):
            continue
        ahead = (sequence + source.offset - source.highest) & 0xFFFF
        if MAX_DROPOUT <= ahead <= 65536 - MAX_MISORDER:
            continue
        epoch, first_index, highest, offset = source.epoch, source.first_index, source.highest, source.offset
        source.used = 0
        _leave_source(media, slot)
        call.ssrc, call.epoch, call.first_index, call.offset = ssrc, epoch, first_index, offset
        # Its indexes are below those of the stream that was left.
        call.stamp_at = min(call.stamp_at, highest + ONE_IN)
        call.stamp_answer_at = min(call.stamp_answer_at, highest + ONE_IN)
        _publish_stream(media, slot)
        expect(media, slot, highest)
        return True
    return False


@compiled
def _leave_source(media: Media, slot: int) -> None:
    """Keep the numbers of the current stream, in place of the one that was left longest ago."""
    call, now_raw = media.calls[slot], raw_units(media)
    call.top = max(call.top, call.highest)
    if call.ssrc == UNKNOWN:
        return
    place, longest = signed(0), signed(UNKNOWN)
    for at in range(MAX_SOURCES):
        source = media.sources[slot, at]
        age = (now_raw - source.left_raw) & _RAW_MASK if source.used else _NEVER
        if age > longest:
            place, longest = signed(at), age
    left = media.sources[slot, place]
    left.used, left.left_raw = 1, now_raw
    left.ssrc, left.epoch = call.ssrc, call.epoch
    left.first_index, left.highest, left.offset = call.first_index, call.highest, call.offset


@compiled
def _is_under_way(media: Media, slot: int, at: int, now_raw: int) -> bool:
    """Return whether answers to an earlier stream still count."""
    source = media.sources[slot, at]
    return bool(source.used and ((now_raw - source.left_raw) & _RAW_MASK) * RAW_UNIT_NS <= LOST_AFTER_NS)


@compiled
def _free_offset(media: Media, slot: int, sequence: int) -> int:
    """Return an offset with which a new stream overwrites no row of an earlier one that waits for its answer."""
    now_raw = raw_units(media)
    for step in range(0, ROWS_PER_SLOT, ROWS_PER_SLOT // MAX_SOURCES):
        is_free = True
        for at in range(MAX_SOURCES):
            if _is_under_way(media, slot, at, now_raw):
                ahead = (sequence + step - media.sources[slot, at].highest) % ROWS_PER_SLOT
                if min(ahead, ROWS_PER_SLOT - ahead) < MIN_ROWS_APART:
                    is_free = False
        if is_free:
            return step
    return 0


@compiled
def _publish_stream(media: Media, slot: int) -> None:
    """Write the current stream into the header. A reader that finds another number of changes reads the whole ring."""
    call, words = media.calls[slot], media.words[slot]
    call.bad = UNKNOWN
    words[_FIRST_INDEX], words[_SSRC], words[SEQUENCE_OFFSET_WORD] = call.first_index, call.ssrc, call.offset
    words[_EPOCH] += 1


@compiled
def expect(media: Media, slot: int, highest: int) -> None:
    """Record the index of the stream's latest packet."""
    call = media.calls[slot]
    call.highest = highest
    call.next = (highest + 1 - call.offset) & 0xFFFF


@compiled
def _extend(media: Media) -> None:
    """Insert the echo's extension between header and payload of the packet at `START`, which begins at 0 then."""
    data = media.data
    _copy(data, START, data, 0, _HEADER_BYTES)
    data[0] = _EXTENDED_FIRST_BYTE
    _copy(media.unfilled, 0, data, _HEADER_BYTES, _EXTENSION_BYTES)


@compiled
def _take_out_extension(media: Media, slot: int, index: int) -> None:
    """Undo `_extend`: the packet begins at `START` again. The echo's values go into the row."""
    data, unfilled = media.data, media.unfilled
    filled = data[_FILLED_OFFSET] == 1
    for at in range(_MARK_OFFSET, _FILLED_OFFSET):
        filled = filled and data[at] == unfilled[at - _MARK_OFFSET]
    if filled:
        row = media.rows[slot, index % ROWS_PER_SLOT]
        row.echo_host = signed(data[_HOST_OFFSET]) << 8 | signed(data[_HOST_OFFSET + 1])
        row.echo_count = _u32(data, _COUNT_OFFSET)
        received_ns = _u32(data, _RECEIVED_OFFSET) << 32 | _u32(data, _RECEIVED_OFFSET + 4)
        held_ns = (_u32(data, _SENT_OFFSET) << 32 | _u32(data, _SENT_OFFSET + 4)) - received_ns
        row.echo_residence_ns = min(max(held_ns, 0), MAX_ECHO_RESIDENCE_NS)
    _copy(data, 0, data, START, _HEADER_BYTES)
    data[START] = _PLAIN_FIRST_BYTE


@compiled
def _copy(source: Bytes, start: int, target: Bytes, at: int, count: int) -> None:
    """Copy bytes that do not overlap, without the memory that a slice may take."""
    for place in range(count):
        target[at + place] = source[start + place]

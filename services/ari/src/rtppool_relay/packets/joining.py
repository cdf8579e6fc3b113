"""The state of a call and of its sockets at their begin and end, in a media process's memory. Compiled."""

from __future__ import annotations

from rtppool_core.compiled.system_calls import signed
from rtppool_relay.media.rows import ORDINALS, SEQUENCE_OFFSET_WORD, Word
from rtppool_relay.media.sizes import ROWS_PER_SLOT
from rtppool_relay.packets.compiled import compiled
from rtppool_relay.packets.layout import MAX_ADDRESS_BYTES, MAX_SOURCES, ONE_IN, UNKNOWN
from rtppool_relay.packets.memory import Media
from rtppool_relay.packets.packet_path import expect

_EPOCH = int(Word.EPOCH)
_SSRC = int(Word.SSRC)
_FIRST_INDEX = int(Word.FIRST_INDEX)
_TOS = int(Word.TOS)


@compiled
def begin_call(
    media: Media, slot: int, asterisk: int, tos: int, extend: int, peer: int, peer_1: int, peer_2: int, peer_3: int
) -> None:
    """Begin a call without a stream. `peer` and its followers are the words of Asterisk's struct sockaddr."""
    call = media.calls[slot]
    for at in range(MAX_ADDRESS_BYTES):
        word = peer if at < 8 else peer_1 if at < 16 else peer_2 if at < 24 else peer_3  # noqa: PLR2004 bytes
        media.peers[slot, at] = (word >> 8 * (at % 8)) & 0xFF
    call.asterisk, call.tos, call.extend, call.unchecked = asterisk, tos, extend, 1
    call.ssrc = call.next = call.bad = UNKNOWN
    call.epoch = call.first_index = call.highest = call.offset = call.top = call.sent = 0
    call.stamp_at = call.stamp_answer_at = call.usual_echo_ns = 0
    for at in range(MAX_SOURCES):
        media.sources[slot, at].used = 0
    media.words[slot, _TOS] = tos


@compiled
def set_echo(media: Media, slot: int, descriptor: int) -> None:
    """Send the call's packets to this socket from now on."""
    media.calls[slot].echo = descriptor


@compiled
def link(media: Media, descriptor: int, slot: int, leg: int, stamped: int) -> None:
    """Enter a call's socket. `stamped`: the kernel stamps departures."""
    media.pending[descriptor].number[:] = UNKNOWN
    entry = media.sockets[descriptor]
    entry.slot, entry.leg, entry.stamped, entry.number = slot, leg, stamped, 0


@compiled
def unlink(media: Media, descriptor: int) -> None:
    """Clear the entry of a socket."""
    media.sockets[descriptor].slot = UNKNOWN


@compiled
def resume(media: Media, slot: int) -> None:
    """Restore the call's state from its rows, if a former media process wrote any."""
    words, call = media.words[slot], media.calls[slot]
    if words[_EPOCH] == 0:
        return
    call.epoch, call.ssrc = words[_EPOCH], words[_SSRC]
    call.first_index, call.offset = words[_FIRST_INDEX], words[SEQUENCE_OFFSET_WORD]
    # A stream that began with the very last packet of the former process has no row yet.
    highest = signed(words[_FIRST_INDEX])
    first, ahead = signed(UNKNOWN), signed(0)
    for at in range(ROWS_PER_SLOT):
        row = media.rows[slot, at]
        index, ordinal = signed(row.index), signed(row.ordinal)
        if index == 0:
            continue
        if first == UNKNOWN:
            first = ordinal
        # All ordinals lie within half a turn of the first one.
        ahead = max(ahead, (ordinal - first + ORDINALS // 2) % ORDINALS - ORDINALS // 2)
        call.top = max(call.top, index)
        if signed(row.ssrc) == call.ssrc and index >= highest:
            call.epoch, highest = signed(row.epoch), index
    if first != UNKNOWN:
        call.sent = (first + ahead) % ORDINALS
    expect(media, slot, highest)
    call.stamp_at = highest - highest % ONE_IN
    call.stamp_answer_at = call.stamp_at + ONE_IN // 2

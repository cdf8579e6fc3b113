"""The work on a batch of datagrams, without system calls: check each, prepare its answer, fill in the extension, count.

The bytes of a packet never change, except in an unfilled extension.
"""

from __future__ import annotations

from rtppool_core.rtp.header import NO_DEFECT, defect_at
from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.messages.answer_ancillary import build_answer
from rtppool_echo.messages.datagram_memory import (
    ANCILLARY_WORDS,
    BASE,
    CONTROL_BYTES,
    ENVELOPE_WORDS,
    LENGTH,
    MESSAGE_WORDS,
    NAME,
    NAME_WORDS,
    SIZE,
    SLOT_BYTES,
    STAMP_WORD,
    VECTOR_WORDS,
    WORD_BYTES,
)
from rtppool_echo.reflector.extension import MIN_SLOW_NS, fill, has_extension
from rtppool_echo.reflector.memory import (
    ANSWERS,
    HOST_CHECKED_NS,
    NEW_SENDERS,
    ORDINARY_HOST,
    RECEIVED,
    SENT_NS,
    WAITING,
    WAITING_WORDS,
    Reflector,
)
from rtppool_echo.rules.received_counts import count
from rtppool_echo.rules.recent_answers import big_endian, is_repeated
from rtppool_echo.rules.refusals import NOT_REFUSED, REASON_DESTINATION, REASON_REPEATED, place_of
from rtppool_echo.rules.sender_limits import refusal_of_address, refusal_of_sender
from rtppool_echo.rules.sender_table import KEY_WORDS
from rtppool_echo.workers.counters import ALIVE_AT_NS, ASKED_FROM_ELSEWHERE, FIRST_REASON

# Whether a witness of the host time works is asked so often.
CHECK_EVERY_NS = NS_PER_SECOND
_DESTINATION, _REPEATED = place_of(REASON_DESTINATION), place_of(REASON_REPEATED)
_LOW = 0xFFFF_FFFF
_SSRC_AT, _SSRC_END = 8, 12


def judge(echo: Reflector, number: int, now_ns: int) -> None:
    """Decide on the first `number` datagrams at `now_ns` (monotonic): prepare their answers, and count refusals."""
    state, counters = echo.state, echo.counters
    counters[ALIVE_AT_NS] = now_ns
    state[RECEIVED] = number
    state[ANSWERS] = state[WAITING] = state[NEW_SENDERS] = 0
    for at in range(number):
        size = echo.questions[at * MESSAGE_WORDS + SIZE] & _LOW
        refusal = _refusal(echo, at, size, now_ns)
        if refusal == NOT_REFUSED:
            _accept(echo, at, size)
        else:
            counters[FIRST_REASON + refusal] += 1


def fill_waiting(echo: Reflector, sent_ns: int) -> bool:
    """Fill the extensions of a batch that leaves at `sent_ns` (wall clock). Return whether a host time is to be asked.

    The fields of the host time are those of ordinary packets until then.
    """
    state, envelopes = echo.state, echo.envelopes
    state[SENT_NS] = sent_ns
    ordinary = state[ORDINARY_HOST]
    is_asked = not 0 <= sent_ns - state[HOST_CHECKED_NS] < CHECK_EVERY_NS
    for place in range(state[WAITING]):
        at = echo.waiting[place * WAITING_WORDS]
        stamp = at * ENVELOPE_WORDS + STAMP_WORD
        received_ns = envelopes[stamp] * NS_PER_SECOND + envelopes[stamp + 1]
        fill(echo.payloads, at * SLOT_BYTES, echo.waiting[place * WAITING_WORDS + 1], received_ns, sent_ns, ordinary)
        # No witness worked when it was last asked where ordinary packets have no host time.
        if ordinary != 0 and sent_ns - received_ns >= MIN_SLOW_NS:
            is_asked = True
    return is_asked


def _refusal(echo: Reflector, at: int, size: int, now_ns: int) -> int:
    """Return the place of the reason to refuse the datagram in a slot, or `NOT_REFUSED` with its ancillary data."""
    start, key = at * SLOT_BYTES, at * ENVELOPE_WORDS
    defect = defect_at(echo.payloads, start, size)
    if defect != NO_DEFECT and echo.rtp_only:
        return defect
    refusal, is_new = refusal_of_sender(echo.limits, echo.networks, echo.senders, echo.envelopes, key, now_ns)
    if is_new and echo.counters[ASKED_FROM_ELSEWHERE] == 0:
        echo.new_senders[echo.state[NEW_SENDERS]] = at
        echo.state[NEW_SENDERS] += 1
    if refusal != NOT_REFUSED:
        return refusal
    refusal = refusal_of_address(echo.limits, echo.addresses, echo.envelopes, key, now_ns)
    if refusal != NOT_REFUSED:
        return refusal
    # The kernel writes control messages of the same lengths for every datagram of a socket.
    if echo.questions[at * MESSAGE_WORDS + CONTROL_BYTES] != echo.ancillary_bytes:
        return _DESTINATION
    control, answer = key + NAME_WORDS, echo.state[ANSWERS]
    end = control + echo.ancillary_bytes // WORD_BYTES
    refusal, octets = build_answer(
        echo.envelopes, control, end, echo.answer_ancillary, answer * ANCILLARY_WORDS, echo.dscp
    )
    if refusal != NOT_REFUSED:
        return refusal
    if defect == NO_DEFECT and is_repeated(echo.recent, echo.envelopes, key, echo.payloads, start, now_ns):
        return _REPEATED
    echo.answers[answer * MESSAGE_WORDS + CONTROL_BYTES] = octets
    return NOT_REFUSED


def _accept(echo: Reflector, at: int, size: int) -> None:
    """Complete the next answer, with the bytes in a slot."""
    answer = echo.state[ANSWERS]
    echo.state[ANSWERS] = answer + 1
    echo.answers[answer * MESSAGE_WORDS + NAME] = echo.questions[at * MESSAGE_WORDS + NAME]
    echo.out_of[answer * VECTOR_WORDS + BASE] = echo.into[at * VECTOR_WORDS + BASE]
    echo.out_of[answer * VECTOR_WORDS + LENGTH] = size
    if echo.stamped and has_extension(echo.payloads, at * SLOT_BYTES, size):
        place = echo.state[WAITING] * WAITING_WORDS
        echo.waiting[place], echo.waiting[place + 1] = at, _count(echo, at)
        echo.state[WAITING] += 1


def _count(echo: Reflector, at: int) -> int:
    """Count the packet in a slot in its stream: that of its sender and its SSRC."""
    key, start = at * ENVELOPE_WORDS, at * SLOT_BYTES
    for place in range(KEY_WORDS):
        echo.stream_key[place] = echo.envelopes[key + place]
    # The upper half of a name's last word is free. Half the range is subtracted, because a word is signed.
    ssrc = big_endian(echo.payloads, start + _SSRC_AT, start + _SSRC_END) - (1 << 31)
    echo.stream_key[KEY_WORDS - 1] += ssrc * (1 << 32)
    return count(echo.streams, echo.stream_key, 0)

"""The order of a stream over real sockets, against RFC 3550 A.1 and A.3 written a second time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from packet_line import SLOT, Line

from rtppool_core.rtp.header import RtpHeader, build
from rtppool_relay.media.rows import Word
from rtppool_testing.sockets import received

MODULUS, MAX_DROPOUT, MAX_MISORDER = 1 << 16, 3000, 100
# Steps from the highest number: in order, with a gap, back, and out of range. None follows the last stray packet, which
# is one short of the range's end: its follower would look reordered to A.1, and to a relay its timestamp is a jump's.
LAST_STRAY = MODULUS - MAX_MISORDER - 1
STEPS = (
    st.just(1)
    | st.just(1)
    | st.integers(1, MAX_DROPOUT - 1)
    | st.integers(-MAX_MISORDER + 1, 0)
    | st.integers(MAX_DROPOUT, LAST_STRAY)
    | st.sampled_from([MAX_DROPOUT - 1, MAX_DROPOUT, LAST_STRAY, None])
)


@dataclass
class Source:
    """`update_seq` of A.1 without probation. Numbers are those of the sender, which do not wrap.

    A repeated packet is no packet of the stream here: A.1 counts it as received.
    """

    highest: int
    first: int
    bad: int | None = None
    restarts: int = 0
    seen: set[int] = field(default_factory=set)

    def update(self, number: int) -> str:
        ahead = (number - self.highest) % MODULUS
        if ahead < MAX_DROPOUT and ahead:
            self.highest = number
        elif MAX_DROPOUT <= ahead <= MODULUS - MAX_MISORDER:
            if self.bad is None or number % MODULUS != self.bad % MODULUS:
                self.bad = number + 1
                return "bad"
            self.highest = self.first = number
            self.bad, self.seen = None, set()
            self.restarts += 1
        if number in self.seen:
            return "duplicate"
        self.seen.add(number)
        return "accepted"


@contextmanager
def connected() -> Iterator[Line]:
    line = Line()
    line.connect()
    try:
        yield line
    finally:
        line.close()


def packet(number: int) -> bytes:
    return build(RtpHeader(0, number % MODULUS, number * 160 % (1 << 32), 7), b"x" * 160)


@given(st.integers(MODULUS, 3 * MODULUS), st.lists(STEPS, min_size=1, max_size=60))
def test_every_packet_meets_the_fate_of_the_rfc(first: int, steps: list[int | None]) -> None:
    source = Source(first - 1, first)
    with connected() as line:
        forward(line, first, source.update(first))
        for step in steps:
            number = source.bad if step is None and source.bad is not None else source.highest + (step or 0)
            forward(line, number, source.update(number))
            call = line.media.calls.view(np.recarray)[SLOT]
            # A.3: expected is the highest number less the base, plus one.
            assert call.highest - call.first_index == source.highest - source.first
            assert call.highest % MODULUS == (source.highest + call.offset) % MODULUS
        assert line.count(Word.EPOCH) == 1 + source.restarts


def forward(line: Line, number: int, fate: str) -> None:
    """Send a packet, and check that it meets its fate. An accepted one goes to the echo and back."""
    sent = packet(number)
    before = {word: line.count(word) for word in (Word.BAD_SEQUENCE, Word.DUPLICATE_SOURCE)}
    line.send(sent)
    grown = {word: line.count(word) - count for word, count in before.items()}
    assert grown == {Word.BAD_SEQUENCE: fate == "bad", Word.DUPLICATE_SOURCE: fate == "duplicate"}
    assert received(line.echo) == (sent if fate == "accepted" else None)
    if fate == "accepted":
        line.answer(sent)
        assert received(line.asterisk) == sent

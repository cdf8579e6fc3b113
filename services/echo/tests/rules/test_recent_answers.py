from __future__ import annotations

import pytest

from rtppool_core.rtp.header import RtpHeader, build
from rtppool_echo.rules.recent_answers import MAX_REMEMBERED, WINDOW_NS, RecentAnswers

SLOT_BYTES = 64


class Answers:
    """`RecentAnswers` over one slot."""

    def __init__(self) -> None:
        self._slots = bytearray(2 * SLOT_BYTES)
        self._recent = RecentAnswers(self._slots, SLOT_BYTES)

    def is_repeated(self, sequence: int, ssrc: int = 7, sender: bytes = b"a", now_ns: int = 0, jump: int = 0) -> bool:
        packet = build(RtpHeader(0, sequence, 160 * sequence + jump, ssrc), b"")
        self._slots[SLOT_BYTES : SLOT_BYTES + len(packet)] = packet
        return self._recent.is_repeated(sender, 1, len(packet), 10**15 + now_ns)


def test_a_packet_is_repeated_within_the_window_and_not_after_it() -> None:
    answers = Answers()
    assert not answers.is_repeated(1)
    assert answers.is_repeated(1, now_ns=WINDOW_NS - 1)
    assert not answers.is_repeated(1, now_ns=WINDOW_NS)
    assert answers.is_repeated(1, now_ns=2 * WINDOW_NS - 1)


def test_a_refused_packet_does_not_prolong_its_own_window() -> None:
    answers = Answers()
    answers.is_repeated(1)
    assert answers.is_repeated(1, now_ns=WINDOW_NS // 2)
    assert not answers.is_repeated(1, now_ns=WINDOW_NS)


@pytest.mark.parametrize(
    "other", [{"sequence": 2}, {"ssrc": 8}, {"sender": b"b"}, {"sequence": 1 + MAX_REMEMBERED}, {"jump": 160}]
)
def test_another_sequence_ssrc_sender_or_timestamp_is_another_packet(other: dict[str, int]) -> None:
    answers = Answers()
    answers.is_repeated(1)
    assert not answers.is_repeated(**{"sequence": 1, **other})  # type: ignore[arg-type]


def test_a_sequence_that_wraps_at_the_default_rate_is_never_repeated() -> None:
    answers = Answers()
    step_ns = 10**9 // 200
    assert not any(answers.is_repeated(number % 65_536, now_ns=number * step_ns) for number in range(140_000))


def test_it_remembers_no_more_than_its_table_and_forgets_the_packet_whose_place_is_taken() -> None:
    answers = Answers()
    for number in range(MAX_REMEMBERED):
        answers.is_repeated(number)
    assert answers.is_repeated(0)
    answers.is_repeated(MAX_REMEMBERED)
    assert not answers.is_repeated(0)
    assert len(answers._recent._packets) == MAX_REMEMBERED

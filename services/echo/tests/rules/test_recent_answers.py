from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from senders import name_words

from rtppool_core.rtp.header import RtpHeader, build
from rtppool_echo.reflector.compiled import compiled
from rtppool_echo.rules import recent_answers
from rtppool_echo.rules.recent_answers import MAX_REMEMBERED, RECENT_WORDS, WINDOW_NS

_is_repeated: Any = compiled(recent_answers.is_repeated)
START = 64


class Answers:
    """The table of recent answers, and one packet."""

    def __init__(self) -> None:
        self._data = np.zeros(2 * START, np.uint8)
        self._recent = np.zeros(RECENT_WORDS, np.int64)

    def is_repeated(self, sequence: int, ssrc: int = 7, port: int = 10_000, now_ns: int = 0, jump: int = 0) -> bool:
        packet = build(RtpHeader(0, sequence, 160 * sequence + jump, ssrc), b"")
        self._data[START : START + len(packet)] = list(packet)
        sender = name_words("192.0.2.1", port)
        return bool(_is_repeated(self._recent, sender, 0, self._data, START, 10**15 + now_ns))


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
    "other", [{"sequence": 2}, {"ssrc": 8}, {"port": 10_001}, {"sequence": 1 + MAX_REMEMBERED}, {"jump": 160}]
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

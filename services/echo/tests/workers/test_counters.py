from __future__ import annotations

import pytest

from rtppool_echo.workers.counters import ASKED_FROM_ELSEWHERE, WORD_OF_REASON, WORDS, Counters


def test_the_words_of_a_worker_hold_every_reason() -> None:
    assert max(WORD_OF_REASON.values()) < ASKED_FROM_ELSEWHERE < WORDS


def test_figures_are_summed_over_the_workers() -> None:
    counters = Counters(2)
    for worker in range(2):
        with counters.words(worker) as words:
            words[1] = 5 + worker
            words[WORD_OF_REASON["short"]] = 1
    assert counters.total().answered_packets == 11
    assert counters.total().dropped["short"] == 2
    counters.close()


@pytest.mark.parametrize("elsewhere", [0, 1])
def test_one_worker_that_is_asked_from_elsewhere_is_enough(elsewhere: int) -> None:
    counters = Counters(2)
    with counters.words(1) as words:
        words[ASKED_FROM_ELSEWHERE] = elsewhere
    assert counters.is_asked_from_elsewhere() == bool(elsewhere)
    counters.close()

from __future__ import annotations

import ipaddress

import pytest

from rtppool_echo.workers.counters import ASKED_FROM_ELSEWHERE, WORD_OF_REASON, WORDS, Counters, Tally


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


@pytest.mark.parametrize(("address", "elsewhere"), [("127.0.0.1", False), ("::1", False), ("192.0.2.1", True)])
def test_a_sender_on_another_machine_is_noted(address: str, elsewhere: bool) -> None:
    counters = Counters(2)
    with counters.words(1) as words:
        Tally(words).note_sender(ipaddress.ip_address(address).packed)
    assert counters.is_asked_from_elsewhere() == elsewhere
    counters.close()

from __future__ import annotations

import pytest

from rtppool_relay.figures.echo_health import EchoHealth

SECOND = 1_000_000_000
LOOK = SECOND // 4


def silent_echo() -> EchoHealth:
    """Two seconds of packets without an answer, and then nothing is sent."""
    health = EchoHealth()
    for second in range(3):
        health.update(50, 0, second * SECOND)
    return health


def test_an_echo_that_answers_nothing_for_two_seconds_is_unreachable() -> None:
    assert silent_echo().reachable is False


def test_an_echo_to_which_nothing_is_sent_any_more_is_unknown_after_five_seconds() -> None:
    health = silent_echo()
    health.update(0, 0, 6 * SECOND)
    assert health.reachable is False
    health.update(0, 0, 7 * SECOND)
    assert health.reachable is None


def test_an_unreachable_echo_stays_so_while_packets_are_sent() -> None:
    health = silent_echo()
    for second in range(3, 60):
        health.update(50, 0, second * SECOND)
        assert health.reachable is False


def test_between_two_bursts_of_a_slow_probe_nothing_is_forgotten() -> None:
    health = EchoHealth()
    health.expect_bursts(30)
    for burst in range(4):
        health.update(10, 0, burst * 30 * SECOND)
        health.update(0, 0, (burst * 30 + 29) * SECOND)
    assert health.reachable is False


def test_an_echo_that_answered_stays_reachable_while_nothing_is_sent() -> None:
    health = EchoHealth()
    health.update(50, 50, 0)
    health.update(0, 0, 60 * SECOND)
    assert health.reachable is True


def test_the_first_answer_makes_an_echo_reachable_again() -> None:
    health = silent_echo()
    health.update(0, 1, 3 * SECOND)
    assert health.reachable


@pytest.mark.parametrize("phase_ns", range(0, LOOK, LOOK // 5))
def test_an_echo_that_stops_between_two_bursts_of_the_probe_is_unreachable_within_three_seconds(phase_ns: int) -> None:
    """Bursts of ten packets 20 ms apart begin with every second, and looks are 0.25 s apart, at any phase to them."""
    health = EchoHealth()
    stops_ns = 10 * SECOND + SECOND // 5
    unreachable_ns = None
    for look in range(80):
        now_ns = phase_ns + look * LOOK
        sent = [at for at in packets_of_the_probe(seconds=30) if now_ns - LOOK < at <= now_ns]
        health.update(len(sent), sum(1 for at in sent if at < stops_ns), now_ns)
        if health.reachable is False and unreachable_ns is None:
            unreachable_ns = now_ns
    assert unreachable_ns is not None
    assert 1.5 * SECOND <= unreachable_ns - stops_ns < 3 * SECOND


def packets_of_the_probe(seconds: int) -> list[int]:
    return [second * SECOND + packet * SECOND // 50 for second in range(seconds) for packet in range(10)]


def test_one_lost_burst_of_a_slow_probe_is_no_silence() -> None:
    health = EchoHealth()
    health.update(10, 10, 0)
    health.update(10, 0, 10 * SECOND)
    for look in range(1, 40):
        health.update(0, 0, 10 * SECOND + look * LOOK)
        assert health.reachable
    health.update(10, 0, 20 * SECOND)
    assert health.reachable, "the second burst's answers are on their way"
    health.update(0, 10, 20 * SECOND + LOOK)
    assert health.reachable

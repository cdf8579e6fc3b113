from __future__ import annotations

from rtppool_relay.measurement import EchoHealth

SECOND = 1_000_000_000


def silent_echo() -> EchoHealth:
    """Two seconds of packets without an answer, and then nothing is sent."""
    health = EchoHealth()
    for second in range(3):
        health.look(50, 0, second * SECOND)
    return health


def test_an_echo_that_answers_nothing_for_two_seconds_is_unreachable() -> None:
    assert silent_echo().reachable is False


def test_an_echo_to_which_nothing_is_sent_any_more_is_unknown_after_five_seconds() -> None:
    health = silent_echo()
    health.look(0, 0, 6 * SECOND)
    assert health.reachable is False
    health.look(0, 0, 7 * SECOND)
    assert health.reachable is None


def test_an_unreachable_echo_stays_so_while_packets_are_sent() -> None:
    health = silent_echo()
    for second in range(3, 60):
        health.look(50, 0, second * SECOND)
        assert health.reachable is False


def test_between_two_bursts_of_a_slow_probe_nothing_is_forgotten() -> None:
    health = EchoHealth()
    health.expect_bursts(30)
    for burst in range(4):
        health.look(10, 0, burst * 30 * SECOND)
        health.look(0, 0, (burst * 30 + 29) * SECOND)
    assert health.reachable is False


def test_an_echo_that_answered_stays_reachable_while_nothing_is_sent() -> None:
    health = EchoHealth()
    health.look(50, 50, 0)
    health.look(0, 0, 60 * SECOND)
    assert health.reachable is True

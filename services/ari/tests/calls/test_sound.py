"""The state of a call's sound, from counts alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.calls.sound import (
    ONE_WAY_AFTER_SECONDS,
    ONE_WAY_PACKETS,
    SILENT_AFTER_SECONDS,
    STOPPED_AFTER_SECONDS,
    SoundState,
    SoundTrack,
)
from rtppool_relay.streams.flow import MediaFlow

PER_SECOND = 50


class Call:
    """A call whose sound is checked every second."""

    def __init__(self) -> None:
        self.track = SoundTrack(since_seconds=1000.0)
        self.now_seconds = 1000.0
        self.sent = self.returned = 0
        self.state: SoundState | None = None

    def seconds(self, count: int, sent: int = 0, returned: int = 0) -> SoundState:
        """Let seconds pass with this many packets in each, and return the state after the last."""
        for _ in range(count):
            self.now_seconds += 1
            self.sent += sent
            self.returned += returned
            self.state = self.track.update(MediaFlow(self.sent, self.returned), self.now_seconds)
        assert self.state is not None
        return self.state


def test_a_call_waits_for_its_first_packet_and_is_silent_when_none_comes() -> None:
    call = Call()
    assert call.seconds(int(SILENT_AFTER_SECONDS) - 1) is SoundState.WAITING
    assert call.seconds(1) is SoundState.SILENT
    assert call.seconds(60) is SoundState.SILENT


def test_a_silent_call_flows_with_its_first_packets() -> None:
    call = Call()
    call.seconds(30)
    assert call.seconds(1, PER_SECOND, PER_SECOND) is SoundState.FLOWING


def test_a_hold_shows_after_a_while_and_never_as_silence() -> None:
    call = Call()
    call.seconds(5, PER_SECOND, PER_SECOND)
    assert call.seconds(int(STOPPED_AFTER_SECONDS) - 1) is SoundState.FLOWING
    assert call.seconds(1) is SoundState.STOPPED
    assert call.seconds(600) is SoundState.STOPPED
    assert call.seconds(1, PER_SECOND, PER_SECOND) is SoundState.FLOWING


def test_comfort_noise_keeps_a_call_flowing() -> None:
    call = Call()
    call.seconds(5, PER_SECOND, PER_SECOND)
    for _ in range(10):
        call.seconds(int(STOPPED_AFTER_SECONDS) - 1)
        assert call.seconds(1, 1, 1) is SoundState.FLOWING


def test_one_lost_packet_of_comfort_noise_is_not_one_way() -> None:
    call = Call()
    call.seconds(5, PER_SECOND, PER_SECOND)
    call.seconds(1, 1, 0)
    assert call.seconds(int(ONE_WAY_AFTER_SECONDS) + 2) is SoundState.FLOWING


def test_packets_of_which_none_comes_back_are_one_way_after_as_long_as_an_answer_may_take() -> None:
    call = Call()
    assert call.seconds(int(ONE_WAY_AFTER_SECONDS), PER_SECOND) is SoundState.FLOWING
    assert call.seconds(1, PER_SECOND) is SoundState.ONE_WAY


def test_a_call_whose_echo_goes_away_is_one_way_until_it_answers_again() -> None:
    call = Call()
    call.seconds(10, PER_SECOND, PER_SECOND)
    assert call.seconds(int(ONE_WAY_AFTER_SECONDS) + 1, PER_SECOND) is SoundState.ONE_WAY
    assert call.seconds(1, PER_SECOND, 1) is SoundState.FLOWING


def test_a_call_on_hold_while_the_echo_is_away_has_stopped() -> None:
    call = Call()
    call.seconds(5, PER_SECOND)
    assert call.seconds(int(STOPPED_AFTER_SECONDS)) is SoundState.STOPPED


@pytest.mark.parametrize("in_flight", [1, 5, ONE_WAY_PACKETS - 1])
def test_packets_in_flight_when_the_counts_are_read_are_not_one_way(in_flight: int) -> None:
    call = Call()
    call.seconds(1, PER_SECOND, PER_SECOND - in_flight)
    assert call.seconds(120, PER_SECOND, PER_SECOND) is SoundState.FLOWING


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=80))
def test_a_call_is_silent_or_waits_exactly_while_nothing_was_sent(seconds: list[tuple[int, int]]) -> None:
    call = Call()
    for sent, returned in seconds:
        state = call.seconds(1, sent, min(returned, sent))
        assert (state in {SoundState.WAITING, SoundState.SILENT}) == (call.sent == 0)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80))
def test_a_call_that_gets_answers_flows(seconds: list[int]) -> None:
    call = Call()
    for packets in seconds:
        assert call.seconds(1, packets, packets) is SoundState.FLOWING

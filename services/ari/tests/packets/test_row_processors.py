"""The processors in a row: of the media process at x and y, and of the kernel at the answer's arrival."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from packet_line import Line

from rtppool_relay.media.rows import MIN_SLOW_ECHO_NS, UNKNOWN_CPU
from rtppool_relay.packets import arrivals
from rtppool_relay.packets.packet_path import USUAL_ECHO_PACKETS
from rtppool_testing.packets import rtp_packet
from rtppool_testing.sockets import received

OWN = sorted(os.sched_getaffinity(0))
SLOW_NS = 10 * MIN_SLOW_ECHO_NS


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    one.connect()
    yield one
    one.close()
    os.sched_setaffinity(0, OWN)


def reflect(line: Line, number: int, longer_ns: int = 0) -> None:
    """Play one packet through the echo, whose leg seems to take `longer_ns` longer."""
    line.send_in_the_past(rtp_packet(number), longer_ns)
    line.answer(received(line.echo) or b"")


@pytest.mark.parametrize("at", [OWN[0], OWN[-1]])
def test_a_row_has_the_processor_of_both_departures(line: Line, at: int) -> None:
    os.sched_setaffinity(0, {at})
    reflect(line, 1)
    (row,) = line.reader.take(0)
    assert (row["x_cpu"], row["y_cpu"]) == (at, at)


def test_a_packet_that_moved_has_both_processors(line: Line) -> None:
    os.sched_setaffinity(0, {OWN[0]})
    line.send(rtp_packet(1))
    question = received(line.echo) or b""
    os.sched_setaffinity(0, {OWN[-1]})
    line.answer(question)
    (row,) = line.reader.take(0)
    assert (row["x_cpu"], row["y_cpu"]) == (OWN[0], OWN[-1])


@pytest.mark.parametrize("at", [OWN[0], OWN[-1]])
def test_a_slow_answer_has_the_processor_of_its_arrival(line: Line, at: int) -> None:
    line.send_in_the_past(rtp_packet(1), SLOW_NS)
    question = received(line.echo) or b""
    os.sched_setaffinity(0, {at})
    line.answer(question)  # over loopback, the sender's processor receives
    assert line.reader.take(0)["r_cpu"].tolist() == [at]


def test_an_ordinary_answer_does_not_ask_for_it(line: Line) -> None:
    for number in range(3):
        reflect(line, number)
    assert UNKNOWN_CPU in line.reader.take(0)["r_cpu"]


def test_an_echo_that_is_always_slow_is_not_asked_for_each_packet(line: Line) -> None:
    for number in range(8 * USUAL_ECHO_PACKETS):
        reflect(line, number, SLOW_NS)
        assert received(line.asterisk) is not None
    processors = line.reader.take(0)["r_cpu"]
    assert processors[0] != UNKNOWN_CPU
    # The latest ones are as usual, unless this machine made one late by itself.
    assert UNKNOWN_CPU in processors[-USUAL_ECHO_PACKETS:]
    reflect(line, 8 * USUAL_ECHO_PACKETS, 2 * SLOW_NS)
    assert line.reader.take(0)["r_cpu"][-1] != UNKNOWN_CPU


def test_a_clock_that_was_set_back_does_not_make_every_answer_slow(line: Line) -> None:
    reflect(line, 1, -3_600_000_000_000)
    assert line.media.calls[1]["usual_echo_ns"] == 0


@pytest.mark.parametrize(("number", "known"), [(0, 0), (254, 254), (255, 255), (256, 255), (4096, 255), (-1, 255)])
def test_a_processor_beyond_the_field_is_unknown(number: int, known: int) -> None:
    assert arrivals.known_processor(number) == known


def test_an_echo_on_this_machine_is_marked(line: Line) -> None:
    reflect(line, 1)
    assert line.reader.take(0)["echo_is_local"].tolist() == [True]

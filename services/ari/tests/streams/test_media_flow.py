"""The flow of a call's media in its statistics, up to the latest tick."""

from __future__ import annotations

from row_slot import MS, Slot, after

from rtppool_relay.media.rows import Word


def test_packets_that_still_wait_for_their_answers_count_as_sent() -> None:
    slot = Slot()
    for number in range(20):
        slot.row(number, 5 * MS if number < 15 else None)
    statistics = slot.statistics()
    statistics.collect(after(20, seconds=0.1))
    assert (statistics.flow.sent_to_echo, statistics.flow.returned) == (20, 15)


def test_answers_that_the_kernel_would_not_send_did_not_return() -> None:
    slot = Slot()
    for number in range(20):
        slot.row(number)
    slot.words[Word.RETURN_FAILED] = 4
    statistics = slot.statistics()
    statistics.collect(after(20))
    assert (statistics.flow.sent_to_echo, statistics.flow.returned) == (20, 16)


def test_the_first_return_is_from_the_arrival_to_the_departure_of_the_first_answered_packet() -> None:
    slot = Slot()
    slot.row(0, None)
    slot.row(1, round_trip_ns=7 * MS, residence_ns=300_000)
    slot.row(2, round_trip_ns=1 * MS)
    statistics = slot.statistics()
    statistics.collect(after(3, seconds=0.1))
    assert statistics.flow.first_return_ns == 7 * MS + 300_000
    for number in range(3, 30):
        slot.row(number, round_trip_ns=1 * MS)
    statistics.collect(after(30))
    assert statistics.flow.first_return_ns == 7 * MS + 300_000


def test_without_an_answer_nothing_returned() -> None:
    slot = Slot()
    slot.row(0, None)
    statistics = slot.statistics()
    statistics.collect(after(1, seconds=0.1))
    assert (statistics.flow.sent_to_echo, statistics.flow.returned) == (1, 0)
    assert statistics.flow.first_return_ns is None

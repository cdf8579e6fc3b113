"""Ordinary events of a call cause no lateness, loss, reordering or jitter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from row_slot import MS, Slot, after

from rtppool_relay.streams.slices import Slice

PACKETS = 300
COMFORT_NOISE = 13
TELEPHONE_EVENT = 101


def new_ssrc(slot: Slot) -> None:
    for number in range(PACKETS):
        changed = number >= 150
        slot.row(number, epoch=2 if changed else 1, timestamp=number * 160 + (777_777 if changed else 0))


def timestamp_jump(slot: Slot) -> None:
    for number in range(PACKETS):
        slot.row(number, timestamp=number * 160 + (1_000_000 if number >= 150 else 0))


def timestamp_jump_back(slot: Slot) -> None:
    for number in range(PACKETS):
        slot.row(number, timestamp=number * 160 - (1_000_000 if number >= 150 else 0))


def silence(slot: Slot) -> None:
    """Nothing for two seconds, and the timestamp stands still meanwhile."""
    for number in range(PACKETS):
        resumed = number >= 150
        slot.row(
            number + (100 if resumed else 0), sequence=number, timestamp=number * 160, marker=int(number in {0, 150})
        )


def comfort_noise(slot: Slot) -> None:
    """Silence with a comfort noise packet every 200 ms; the timestamp goes on."""
    sequence = 0
    for number in range(PACKETS):
        quiet = 100 <= number < 200
        if not quiet or number % 10 == 0:
            slot.row(
                number, sequence=sequence, payload_type=COMFORT_NOISE if quiet else 0, marker=int(number in {0, 200})
            )
            sequence += 1


def telephone_event(slot: Slot) -> None:
    """A digit: 20 packets with the timestamp of its beginning, the last three times the same end."""
    for number in range(PACKETS):
        event = 100 <= number < 120
        slot.row(
            number,
            timestamp=100 * 160 if event else None,
            payload_type=TELEPHONE_EVENT if event else 0,
            marker=int(number in {0, 100}),
        )


def telephone_event_beside_audio(slot: Slot) -> None:
    """The digit's packets between the audio's, as Asterisk relays them."""
    sequence = 0
    for number in range(PACKETS):
        if 100 <= number < 120:
            slot.row(number, sequence=sequence, timestamp=100 * 160, payload_type=TELEPHONE_EVENT)
            sequence += 1
        slot.row(number, sequence=sequence)
        sequence += 1


def sequence_wrap(slot: Slot) -> None:
    for number in range(PACKETS):
        slot.row(number, sequence=65536 - 150 + number)


def timestamp_wrap(slot: Slot) -> None:
    for number in range(PACKETS):
        slot.row(number, timestamp=(1 << 32) - 150 * 160 + number * 160)


EVENTS = [
    new_ssrc,
    timestamp_jump,
    timestamp_jump_back,
    silence,
    comfort_noise,
    telephone_event,
    telephone_event_beside_audio,
    sequence_wrap,
    timestamp_wrap,
]


def figures(event: Callable[[Slot], None]) -> Slice:
    slot = Slot()
    event(slot)
    statistics = slot.statistics()
    statistics.collect(after(PACKETS))
    statistics.finish(after(PACKETS, 20))
    return statistics.total


@pytest.mark.parametrize("event", EVENTS)
def test_an_ordinary_event_makes_nothing_late_lost_or_reordered(event: Callable[[Slot], None]) -> None:
    total = figures(event)
    assert total.answered == total.packets > 200
    assert (total.late_source, total.late_relay, total.late_echo) == (0, 0, 0)
    assert (total.lost, total.source_lost, total.reordered, total.bursts.lost) == (0, 0, 0, 0)


@pytest.mark.parametrize("event", EVENTS)
def test_an_ordinary_event_is_no_jitter_and_no_delay_variation(event: Callable[[Slot], None]) -> None:
    total = figures(event)
    assert (total.jitter_us(), total.source_jitter_us()) == (0, 0)
    assert (total.source_variation.max_ns or 0) < MS


def test_an_echo_that_stalls_is_jitter_though_it_looks_like_a_jump_of_the_timestamp() -> None:
    slot = Slot()
    for number in range(PACKETS):
        slot.row(number, round_trip_ns=900 * MS if number == 150 else 5 * MS)
    statistics = slot.statistics()
    statistics.collect(after(PACKETS))
    assert (statistics.total.jitter_us() or 0) > 0
    assert statistics.total.source_jitter_us() == 0


def test_the_last_answers_of_a_stream_that_was_replaced_count_and_disturb_nothing() -> None:
    slot = Slot()
    statistics = slot.statistics()
    for number in range(100):
        slot.row(number, round_trip_ns=None if number >= 98 else 5 * MS)
    for number in range(100, 150):
        slot.row(number, epoch=2)
    statistics.collect(after(150, 0))
    slot.row(98)
    statistics.collect(after(150, 0.5))
    for number in range(150, 200):
        slot.row(number, epoch=2)
    statistics.collect(after(200, 0))
    statistics.collect(after(200, 10))
    statistics.finish(after(200, 20))
    total = statistics.total
    assert (total.packets, total.answered, total.lost, total.source_lost) == (200, 199, 1, 0)
    assert (total.late_source, total.source_jitter_us()) == (0, 0)
    assert (total.bursts.lost, total.bursts.gaps, total.bursts.gap_packets) == (1, 2, 200)

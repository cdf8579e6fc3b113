"""Rows of random streams into figures, against oracles that are written from the RFCs and share no code with them."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_slot import MS, PACKET_NS, SECOND, T0, Slot, after

from rtppool_core.statistics.histogram import Histogram
from rtppool_relay.streams.slices import Slice

RESIDENCE_NS = 100_000
BEFORE_SEND_NS = RESIDENCE_NS // 2
LAST_TICK_SECONDS = 30.0
GMIN = 16
MAX_BUCKET_ERROR = 0.016
CLOCK_RATE_HZ, TICKS = 8000, 160


@dataclass(frozen=True)
class Packet:
    """A packet that Asterisk sent. Without a round trip it was not answered."""

    number: int
    source_delay_ns: int
    round_trip_ns: int | None

    @property
    def arrived_ns(self) -> int:
        return T0 + self.number * PACKET_NS + self.source_delay_ns

    @property
    def sent_ns(self) -> int:
        return self.arrived_ns + BEFORE_SEND_NS

    @property
    def returned_ns(self) -> int:
        return self.sent_ns + (self.round_trip_ns or 0)


@dataclass(frozen=True)
class Stream:
    """Packets in order of their numbers. The numbers that are not there were lost before the relay."""

    packets: list[Packet]
    first_sequence: int
    first_timestamp: int
    tick_ns: int

    @property
    def answered(self) -> list[Packet]:
        return [packet for packet in self.packets if packet.round_trip_ns is not None]


def random_stream(seed: int) -> Stream:
    """Draw length, loss of both legs, delays that overtake each other, wraps, and the time between collections."""
    chance = random.Random(seed)
    length = chance.choice((1, 2, 17, 60, 250))
    missing, unanswered = chance.choice((0, 0.02, 0.3)), chance.choice((0, 0.02, 0.3))
    base_ms, spread_ms = chance.choice((0.2, 5, 60, 900)), chance.choice((0, 1, 45, 1000))
    # More than this may look like a step of the talker's timeline, with which J begins anew.
    source_ms = chance.choice((0, 0.5, 3))
    packets = [
        Packet(
            number=number,
            source_delay_ns=round(chance.uniform(0, source_ms) * MS),
            round_trip_ns=None
            if chance.random() < unanswered
            else round((base_ms + chance.random() ** 3 * spread_ms) * MS),
        )
        for number in range(length)
        # The first and the last packet of a stream are those that came.
        if number in (0, length - 1) or chance.random() >= missing
    ]
    return Stream(
        packets, chance.choice((0, 65_400, 65_535)), chance.choice((0, 2**32 - 5_000)), chance.choice((200, 1000)) * MS
    )


def measure(stream: Stream) -> tuple[Slice, dict[int, Slice]]:
    """Write each row when it is sent and again when it is answered, and collect between. Return call and seconds."""
    slot, seconds = Slot(), dict[int, Slice]()
    statistics = slot.statistics()

    def add(parts: dict[int, Slice]) -> None:
        for second, part in parts.items():
            seconds.setdefault(second, Slice()).add(part)

    waiting, coming, now = dict[int, Packet](), list(stream.packets), T0
    while coming or waiting:
        now += stream.tick_ns
        while coming and coming[0].sent_ns <= now:
            waiting[coming[0].number] = coming[0]
            write(slot, stream, coming.pop(0), answered=False)
        for packet in list(waiting.values()):
            if packet.round_trip_ns is None or packet.returned_ns + BEFORE_SEND_NS <= now:
                del waiting[packet.number]
                write(slot, stream, packet, answered=packet.round_trip_ns is not None)
        add(statistics.collect(now).by_second)
    add(statistics.collect(after(stream.packets[-1].number, LAST_TICK_SECONDS)).by_second)
    add(statistics.finish(after(stream.packets[-1].number, LAST_TICK_SECONDS)).by_second)
    return statistics.total, seconds


def write(slot: Slot, stream: Stream, packet: Packet, *, answered: bool) -> None:
    slot.row(
        packet.number,
        packet.round_trip_ns if answered else None,
        packet.source_delay_ns,
        RESIDENCE_NS,
        sequence=stream.first_sequence + packet.number,
        timestamp=stream.first_timestamp + packet.number * TICKS,
    )


def rfc_3611_regions(bad: set[int], length: int) -> tuple[int, int, int, int, int]:
    """Count bursts, their packets and losses, gaps and their packets, by the definition of section 4.7.2."""
    colours = [False] * length
    ordered = sorted(bad)
    for one, next_one in pairwise(ordered):
        if next_one - one - 1 < GMIN:
            colours[one : next_one + 1] = [True] * (next_one - one + 1)
    starts = [at for at in range(length) if at == 0 or colours[at] != colours[at - 1]]
    bursts = [at for at in starts if colours[at]]
    return (
        len(bursts),
        sum(colours),
        sum(colours[at] for at in bad),
        len(starts) - len(bursts),
        length - sum(colours),
    )


def rfc_4737_reordered(stream: Stream) -> Iterator[tuple[int, int, int]]:
    """Yield extent (4.2.3), late time (4.3.3) and degree (5.3) of each reordered answer, by search."""
    arrivals = sorted((packet.returned_ns, packet.number) for packet in stream.answered)
    for i, (at_ns, number) in enumerate(arrivals):
        larger = [j for j in range(i) if arrivals[j][1] > number]
        if larger:
            just_before = 0
            while just_before < i and arrivals[i - just_before - 1][1] > number:
                just_before += 1
            yield i - larger[0], at_ns - arrivals[larger[0]][0], just_before


def rfc_3550_jitter_us(stream: Stream) -> list[float]:
    """Return J of section 6.4.1 after each answered packet but the first, at the arrival from Asterisk."""
    jitter, found = 0.0, []
    for old, new in pairwise(stream.answered):
        apart = (new.arrived_ns - old.arrived_ns) * CLOCK_RATE_HZ / SECOND - (new.number - old.number) * TICKS
        jitter += (abs(apart) - jitter) / 16
        found.append(jitter * 1e6 / CLOCK_RATE_HZ)
    return found


def check_times(found: Histogram, times_ns: list[int]) -> None:
    assert found.count == len(times_ns)
    assert (found.min_ns, found.max_ns) == (min(times_ns, default=None), max(times_ns, default=None))
    for per_mille in (500, 950, 990, 999) if times_ns else ():
        exact = sorted(times_ns)[math.ceil(per_mille * len(times_ns) / 1000) - 1]
        assert found.quantile_ns(per_mille) == pytest.approx(exact, rel=MAX_BUCKET_ERROR)


def check(stream: Stream) -> None:
    """Compare every figure of a stream that does not depend on a baseline."""
    call, seconds = measure(stream)
    numbers = {packet.number for packet in stream.packets}
    length = max(numbers) + 1
    answered = stream.answered
    # RFC 3550 A.3: expected is the highest number less the first, plus one.
    assert (call.expected, call.packets, call.source_lost) == (length, len(numbers), length - len(numbers))
    assert (call.answered, call.lost, call.too_late) == (len(answered), len(numbers) - len(answered), 0)
    bad = set(range(length)) - {packet.number for packet in answered}
    bursts = call.bursts
    regions = (bursts.bursts, bursts.burst_packets, bursts.burst_lost, bursts.gaps, bursts.gap_packets)
    assert regions == rfc_3611_regions(bad, length)
    assert (bursts.lost, bursts.runs) == (len(bad), sum(at - 1 not in bad for at in bad))
    check_times(call.round_trip, [packet.returned_ns - packet.sent_ns for packet in answered])
    check_times(call.residence, [RESIDENCE_NS for _ in answered])
    reordered = list(rfc_4737_reordered(stream))
    assert call.reordered == len(reordered)
    maxima = tuple(max(figures) for figures in zip(*reordered, strict=True)) if reordered else (0, 0, 0)
    assert (call.max_reordering_extent, call.max_reordering_late_ns, call.max_n_reordering) == maxima
    estimates = rfc_3550_jitter_us(stream)
    if estimates and not reordered:
        assert call.source_jitter_count == len(estimates)
        assert call.source_jitter_sum_us == pytest.approx(sum(estimates), abs=0.01 * len(estimates))
        assert call.max_source_jitter_us == pytest.approx(max(estimates), abs=0.01)
    sent = Counter(packet.sent_ns // SECOND for packet in stream.packets)
    assert {second: part.packets for second, part in seconds.items() if part.packets} == sent
    assert {second: part.answered for second, part in seconds.items() if part.answered} == Counter(
        packet.sent_ns // SECOND for packet in answered
    )
    assert {second: part.round_trip.count for second, part in seconds.items() if part.round_trip.count} == Counter(
        packet.sent_ns // SECOND for packet in answered
    )
    whole = Slice()
    for part in seconds.values():
        whole.add(part)
    assert (whole.round_trip, whole.residence, whole.bursts) == (call.round_trip, call.residence, call.bursts)
    assert (whole.expected, whole.lost, whole.reordered) == (call.expected, call.lost, call.reordered)


@given(st.integers(0, 2**64))
def test_the_figures_of_a_random_stream_are_those_of_the_rfcs(seed: int) -> None:
    check(random_stream(seed))

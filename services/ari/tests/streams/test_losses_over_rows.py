"""Bursts, gaps and directions of loss over rows that finish out of order, against the core and against simulation."""

from __future__ import annotations

import mmap
import random
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from oracles import Reordering
from row_slot import FIRST_INDEX, MS, PACKET_NS, SECOND, T0, Slot, after, memory_for

from rtppool_core.contract.report import SlaReport
from rtppool_core.statistics.bursts import BurstCounts, BurstTracker
from rtppool_relay.figures.call_figures import call_figures
from rtppool_relay.media.rows import DROP_REASONS, Word
from rtppool_relay.streams.directed_loss import DirectedLoss, EchoedRows, LossDirections
from rtppool_relay.streams.loss_bursts import LossBursts
from rtppool_relay.streams.reordering import ReorderingDetector
from rtppool_relay.streams.row_reader import RowRings, take_all
from rtppool_relay.streams.slices import Slice
from rtppool_relay.streams.statistics import MAX_EPOCHS, _by_epoch, collect_all


def one_by_one(bad: set[int], packets: int) -> BurstCounts:
    tracker, total = BurstTracker(0, PACKET_NS), BurstCounts()
    for at in sorted(bad):
        total.add(tracker.lost(at, at))
    total.add(tracker.end(packets - 1))
    return total


def with_whole_jitter(figures: Slice) -> Slice:
    """Round sums of fractions, because they were added in another order."""
    return replace(
        figures,
        jitter_sum_us=round(figures.jitter_sum_us),
        source_jitter_sum_us=round(figures.source_jitter_sum_us),
    )


# The fate of a packet: never sent by Asterisk, never answered, or answered after so many ms.
FATES = st.lists(
    st.sampled_from(["missing", "unanswered"]) | st.integers(1, 1900) | st.just(5), min_size=2, max_size=120
)


@given(FATES, st.lists(st.integers(50, 1500), min_size=60, max_size=60))
def test_figures_of_a_call_are_the_cores_whenever_ticks_fall(fates: list[str | int], pauses_ms: list[int]) -> None:
    # Asterisk's first and last packet are those that there were.
    fates = [*(["unanswered"] if fates[0] == "missing" else []), *fates, 5]
    slot = Slot()
    statistics = slot.statistics()
    parts: list[Slice] = []
    now = T0
    open_rows = {number: fate for number, fate in enumerate(fates) if fate != "missing"}
    for pause in pauses_ms:
        now += pause * MS
        for number, fate in list(open_rows.items()):
            sent = T0 + number * PACKET_NS + 50_000
            answered = isinstance(fate, int) and sent + fate * MS + 50_000 <= now
            if sent <= now:
                slot.row(number, round_trip_ns=int(fate) * MS if answered else None)
            if answered:
                del open_rows[number]
        parts.extend(statistics.collect(now).by_second.values())
    parts.extend(statistics.finish(after(len(fates), 70)).by_second.values())

    total = statistics.total
    bad = {number for number, fate in enumerate(fates) if not isinstance(fate, int)}
    assert total.bursts == one_by_one(bad, len(fates))
    assert (total.source_lost, total.lost) == (fates.count("missing"), fates.count("unanswered"))

    reference = Reordering()
    answers = [(number * PACKET_NS + fate * MS, number) for number, fate in enumerate(fates) if isinstance(fate, int)]
    for returned, number in sorted(answers):
        reference.update(number, returned)
    found = (total.reordered, total.max_reordering_extent, total.max_n_reordering, total.max_reordering_late_ns)
    assert found == (
        reference.reordered,
        reference.max_extent or 0,
        reference.max_n or 0,
        reference.max_late_time_ns or 0,
    )

    added = Slice()
    for part in parts:
        added.add(part)
    assert with_whole_jitter(added) == with_whole_jitter(total)


def test_losses_wait_for_their_order_and_no_longer() -> None:
    losses = LossBursts()
    losses.begin(0, 0)
    losses.reach(50)
    losses.lose([(30, 30, 3), (10, 10, 1)])
    assert losses.release(10, 0, 9) == []
    assert losses.release(11, 0, 9) == [(1, BurstCounts(lost=1, runs=1))]
    assert losses.release(51, 0, 9) == [(3, BurstCounts(lost=1, runs=1))]


def test_the_last_losses_of_a_stream_that_was_replaced_are_its_own() -> None:
    losses = LossBursts()
    losses.begin(0, 0)
    losses.reach(99)
    losses.begin(200_000, 0)
    losses.lose([(98, 99, 4), (200_001, 200_001, 5)])
    assert losses.release(200_005, SECOND, 6) == [(5, BurstCounts(lost=1, runs=1))]
    old = BurstCounts()
    for _, counts in losses.release(200_005, 10 * SECOND, 7):
        old.add(counts)
    assert (old.bursts, old.burst_packets, old.burst_lost, old.gaps, old.gap_packets) == (1, 2, 2, 1, 98)


RETURNS = st.lists(st.integers(0, 1900), min_size=1, max_size=80)


@given(RETURNS, st.lists(st.integers(1, 20), min_size=80, max_size=80))
def test_reordering_over_columns_is_rfc_4737s_one_by_one(delays_ms: list[int], cuts: list[int]) -> None:
    sent = np.arange(len(delays_ms), dtype=np.int64) * PACKET_NS + T0
    returned = sent + np.array(delays_ms, np.int64) * MS
    arrival = np.argsort(returned, kind="stable")
    reference = Reordering()
    expected = {}
    for number in arrival.tolist():
        packet = reference.update(int(sent[number]), int(returned[number]))
        if packet is not None:
            expected[number] = (packet.extent, packet.late_time_ns, packet.n)
    columns, found, start = ReorderingDetector(), {}, 0
    for cut in cuts:
        rows = np.sort(arrival[start : start + cut])
        start += cut
        if rows.size:
            ascending = bool(np.all(np.diff(returned[rows]) >= 0))
            for packet in columns.update(sent[rows], returned[rows], in_order=ascending):
                found[int(rows[packet.row])] = (packet.extent, packet.late_time_ns, packet.n)
    assert found == expected


@dataclass
class Line:
    """A line that loses packets both ways, and an echo that counts received packets."""

    chance: random.Random
    loss: float
    counted: int = 0

    def send(self) -> tuple[str, int]:
        """The fate of a packet, and the count in its answer."""
        if self.chance.random() < self.loss:
            return "to_echo", 0
        self.counted += 1
        return ("from_echo", 0) if self.chance.random() < self.loss else ("answered", self.counted)


def rows_of(sent: list[int], counts: list[int], answered: list[bool], source: int = 7) -> EchoedRows:
    return EchoedRows(
        np.array(sent, np.int64),
        np.full(len(sent), source, np.int64),
        np.array(answered, np.bool_),
        np.array(counts, np.int64),
    )


def summed(losses: list[DirectedLoss]) -> tuple[int, int, int]:
    return (
        sum(loss.to_echo for loss in losses),
        sum(loss.from_echo for loss in losses),
        sum(loss.undetermined for loss in losses),
    )


@given(st.integers(0, 2**32), st.floats(0, 0.6), st.integers(1, 150), st.integers(1, 30))
def test_every_loss_between_two_answers_gets_its_direction(seed: int, loss: float, packets: int, cut: int) -> None:
    line = Line(random.Random(seed), loss)
    fates = [line.send() for _ in range(packets)]
    answers = [number for number, (fate, _) in enumerate(fates) if fate == "answered"]
    inside = fates[answers[0] : answers[-1]] if answers else []
    outside = packets - len(inside) - 1 if answers else packets
    expected = (
        sum(fate == "to_echo" for fate, _ in inside),
        sum(fate == "from_echo" for fate, _ in inside),
        outside,
    )
    # Answers are known at once, losses 50 packets later; each batch is in order of sending.
    known = sorted((number if fate == "answered" else number + 50, number) for number, (fate, _) in enumerate(fates))
    columns, found = LossDirections(), []
    waiting_for_the_first: list[int] = []
    for start in range(0, packets, cut):
        batch = sorted(number for _, number in known[start : start + cut])
        now = known[min(start + cut, packets) - 1][0]
        rows = rows_of(batch, [fates[at][1] for at in batch], [fates[at][0] == "answered" for at in batch])
        if not columns.active and not rows.counts.any():
            waiting_for_the_first.extend(batch)
        found += columns.update(rows, now - 50)
    found += columns.finish()
    to_echo, from_echo, undetermined = summed(found)
    assert (to_echo, from_echo) == expected[:2]
    assert undetermined == expected[2] - len(waiting_for_the_first)


def test_an_echo_that_forgot_the_stream_leaves_the_loss_undetermined() -> None:
    columns = LossDirections()
    found = columns.update(rows_of([1, 2, 3, 4], [9, 0, 0, 1], [True, False, False, True]), 10)
    assert summed(found) == (0, 0, 2)


def test_counts_of_two_ssrcs_are_not_compared() -> None:
    columns = LossDirections()
    found = columns.update(rows_of([1, 2], [1, 0], [True, False]), 10)
    found += columns.update(rows_of([3], [2], [True], source=8), 10)
    assert summed(found) == (0, 0, 1)


def test_more_counted_than_lost_is_not_more_lost() -> None:
    columns = LossDirections()
    assert summed(columns.update(rows_of([1, 2, 3], [1, 0, 9], [True, False, True]), 10)) == (0, 1, 0)


def test_a_plain_echo_tells_nothing_of_directions() -> None:
    columns = LossDirections()
    assert columns.update(rows_of([1, 2, 3], [0, 0, 0], [True, False, True]), 10) == []
    assert columns.finish() == []


def test_without_any_further_answer_what_is_held_is_bounded() -> None:
    columns = LossDirections()
    columns.update(rows_of([0], [1], [True]), 0)
    found = []
    for start in range(1, 5001, 50):
        sent = list(range(start, start + 50))
        found += columns.update(rows_of(sent, [0] * 50, [False] * 50), 0)
    assert columns._held.sent_ns.size <= 1024
    assert summed(found) == (0, 0, 5001 - 1024 - 1)


def test_the_echos_figures_go_into_slice_and_call_and_are_absent_without_its_extension() -> None:
    slot = Slot()
    for number in range(100):
        lost = number in {40, 41, 42}
        count = number + 1 if number < 40 else number - 1
        slot.row(number, None if lost else 5 * MS, echo_count=0 if lost else count, echo_residence_ns=MS)
    statistics = slot.statistics()
    statistics.collect(after(100))
    total = statistics.total
    assert (total.lost_to_echo, total.lost_from_echo, total.lost_undetermined) == (2, 1, 0)
    assert (total.echo_residence.max_ns, total.network_round_trip.max_ns) == (MS, 4 * MS)
    plain = Slot()
    plain.row(0)
    without = plain.statistics()
    without.collect(after(1))
    assert without.total.directed_loss() is None
    assert without.total.echo_residence.count == without.total.network_round_trip.count == 0


@pytest.mark.parametrize("packet_ms", [10, 20, 30])
def test_a_burst_lasts_as_long_as_its_packets_media(packet_ms: int) -> None:
    slot = Slot()
    for number in range(60):
        slot.row(number, None if number in {30, 32, 33} else MS, timestamp=number * 8 * packet_ms)
    statistics = slot.statistics()
    statistics.collect(after(60))
    statistics.finish(after(60, 20))
    assert statistics.total.bursts.mean_burst_ns() == 4 * packet_ms * MS


def test_a_jump_of_the_first_index_is_no_loss() -> None:
    assert FIRST_INDEX > 1024
    slot = Slot()
    slot.row(0)
    slot.row(1)
    statistics = slot.statistics()
    statistics.collect(after(2))
    assert statistics.finish(after(2, 20)).by_second.keys() == {(after(2, 20)) // SECOND}
    assert statistics.total.bursts == BurstCounts(gaps=1, gap_packets=2, gap_ns=2 * PACKET_NS)


def slot_of(fates: list[str | int], offset: int, memory: mmap.mmap) -> Slot:
    slot = Slot(memory=memory, number=offset)
    for number, fate in enumerate(fates):
        if fate != "missing":
            slot.row(
                number,
                round_trip_ns=fate * MS if isinstance(fate, int) else None,
                source_delay_ns=offset * MS * (number % 3),
                epoch=1 + (number >= 30),
            )
    return slot


@given(st.lists(FATES, min_size=1, max_size=5))
def test_calls_that_are_collected_together_have_the_figures_of_each_alone(calls: list[list[str | int]]) -> None:
    calls = [[5, *fates] for fates in calls]
    memory = memory_for(len(calls))
    slots = [slot_of(fates, offset, memory) for offset, fates in enumerate(calls)]
    rings = RowRings(memory)
    together = [slot.statistics(rings=rings) for slot in slots]
    alone = [slot.statistics() for slot in slots]
    whole, shards = Slice(), Slice()
    for now in (after(30, 0), after(120, 0), after(120, 3), after(120, 30)):
        for part in collect_all(together, now).by_second.values():
            whole.add(part)
        for statistics in alone:
            for part in statistics.collect(now).by_second.values():
                shards.add(part)
    assert [statistics.total for statistics in together] == [statistics.total for statistics in alone]
    assert with_whole_jitter(whole) == with_whole_jitter(shards)


def of_many_streams(changes: int, lost_one_in: int = 0) -> tuple[Slot, int]:
    """Twenty packets of one SSRC, then a new one with each packet, then sixty of the last one."""
    slot = Slot()
    for number in range(20 + changes + 60):
        epoch = min(max(1, number - 18), changes + 1)
        lost = lost_one_in and number % lost_one_in == 0
        slot.row(number, None if lost else 5 * MS, epoch=epoch)
    return slot, 80 + changes


@pytest.mark.parametrize("changes", [MAX_EPOCHS - 1, MAX_EPOCHS, 400])
def test_beyond_its_bound_a_stream_per_packet_is_counted_and_not_compared(changes: int) -> None:
    slot, packets = of_many_streams(changes)
    statistics = slot.statistics()
    statistics.collect(after(packets))
    statistics.finish(after(packets, 20))
    total = statistics.total
    assert (total.packets, total.answered, total.round_trip.count) == (packets, packets, packets)
    assert (total.lost, total.source_lost, total.bursts.lost, total.late_source) == (0, 0, 0, 0)
    assert statistics.streams_unjudged == max(0, changes + 1 - MAX_EPOCHS + 1) * (changes >= MAX_EPOCHS)


def test_losses_of_a_stream_per_packet_are_counted_once_and_lengthen_no_gap() -> None:
    slot, packets = of_many_streams(400, lost_one_in=7)
    statistics = slot.statistics()
    for seconds in (0, 1, 4, 8, 20):
        statistics.collect(after(packets, seconds))
    statistics.finish(after(packets, 30))
    total = statistics.total
    assert total.packets == packets
    assert total.lost == total.bursts.lost == -(-packets // 7)
    assert total.bursts.gap_packets + total.bursts.burst_packets <= packets


def test_a_stream_per_packet_costs_a_bounded_number_of_batches() -> None:
    slot, packets = of_many_streams(900)
    taken = take_all([slot.statistics().reader], after(packets))
    assert taken.rows.size > 900
    batches = _by_epoch(taken)
    assert len(batches) == MAX_EPOCHS
    assert sum(batch.rows.size for batch in batches) == taken.rows.size


def test_dropped_datagrams_are_in_the_calls_figures_by_reason() -> None:
    slot = Slot()
    slot.row(0)
    statistics = slot.statistics()
    for number, word in enumerate(DROP_REASONS.values(), 1):
        slot.words[word] += number
    statistics.collect(after(1))
    slot.words[Word.UNMATCHED] += 10
    statistics.finish(after(1, 20))
    expected = {reason: number for number, reason in enumerate(DROP_REASONS, 1)}
    expected["unmatched"] += 10
    figures = call_figures(statistics.total, SlaReport("Unknown", "NoCalls", 0), statistics.dropped)
    assert figures.dropped == expected


def test_two_sources_whose_answers_return_in_turns_are_not_reordered() -> None:
    detector = ReorderingDetector()
    sent = np.arange(0, 100, dtype=np.int64)
    for source in (sent[::2], sent[1::2]):
        assert detector.update(source, source + 40, in_order=True) == []
    assert [each.row for each in detector.update(np.array([101, 100]), np.array([150, 160]), in_order=False)] == [1]


def test_a_packet_of_another_source_between_two_of_one_is_not_reordered() -> None:
    """Rows are read source by source: the one between is read after those that were sent after it."""
    slot = Slot()
    for number in range(20):
        slot.row(number, 40 * MS, epoch=2 if number == 10 else 1)
    statistics = slot.statistics()
    statistics.collect(after(20))
    statistics.finish(after(20, 20))
    total = statistics.total
    assert (total.packets, total.answered, total.reordered, total.lost) == (20, 20, 0, 0)

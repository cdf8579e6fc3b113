"""Whatever a stream does, every row is read once, though a reader does not look at the whole ring each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_slot import SECOND, T0, Slot, memory_for

from rtppool_relay.media.rows import UNKNOWN_CPU, Word
from rtppool_relay.streams.row_reader import RowReader, RowRings, by_counter, count_all, departure_errors, take_all

LATER = T0 + 1_000_000 * SECOND
# Packets, then how many sequence numbers are skipped, whether one of them still comes, whether the stream is replaced.
STEPS = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 150), st.booleans(), st.sampled_from((False, False, False, True))),
    min_size=1,
    max_size=40,
)


@given(STEPS, st.integers(1, 9), st.data())
def test_every_row_is_read_once_across_gaps_and_new_streams(
    steps: list[tuple[int, int, bool, bool]], unanswered_one_in: int, data: st.DataObject
) -> None:
    slot = Slot()
    reader = RowReader(RowRings(slot.memory), 0)
    sequence, epoch, written, read = 0, 1, 0, []
    for step, (packets, skipped, comes_late, replaced) in enumerate(steps):
        numbers = list(range(sequence, sequence + packets))
        sequence += packets + skipped
        if skipped and comes_late:
            # Behind its followers, but no further than the relay takes as reordered.
            numbers += [sequence, sequence - data.draw(st.integers(1, min(skipped, 98)))]
            sequence += 1
        for number in numbers:
            answered = written % unanswered_one_in != 0
            slot.row(written, 5_000_000 if answered else None, sequence=number, epoch=epoch)
            written += 1
        # One of three reads is so late that unanswered packets are lost. Some are followed by a pause.
        for _ in range(1 + step % 2):
            read += reader.take(LATER if step % 3 == 2 else T0)["index"].tolist()
        if replaced:
            epoch, sequence = epoch + 1, sequence + 17
    for _ in range(2):
        read += reader.take(LATER)["index"].tolist()
    assert len(read) == len(set(read)) == written
    assert reader.overruns == 0


WRITTEN = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 70), st.integers(0, 40), st.booleans(), st.booleans()), max_size=25
)


@given(WRITTEN)
def test_slots_that_are_read_together_give_what_each_gives_alone(
    steps: list[tuple[int, int, int, bool, bool]],
) -> None:
    """A step writes packets of one slot behind a gap, perhaps unanswered or of a new stream, and reads all slots."""
    memory = memory_for(3)
    slots = [Slot(memory=memory, number=number) for number in range(3)]
    together = [RowReader(RowRings(memory), 0)]
    together += [RowReader(together[0].rings, number) for number in (1, 2)]
    alone = [RowReader(RowRings(memory), number) for number in range(3)]
    sequences, epochs = [0, 0, 0], [1, 1, 1]
    for at, packets, skipped, answered, replaced in steps:
        epochs[at] += replaced
        for number in range(sequences[at] + skipped, sequences[at] + skipped + packets):
            slots[at].row(number, 5_000_000 if answered or number % 3 else None, epoch=epochs[at])
        sequences[at] += skipped + packets
        now = LATER if skipped % 3 == 2 else T0
        taken = take_all(together, now)
        for number, reader in enumerate(alone):
            assert taken.rows[taken.owners == number].tolist() == take_all([reader], now).rows.tolist()
        assert departure_errors(together).size == 0
        assert [each.tolist() for each in count_all(together)] == [count_all([each])[0].tolist() for each in alone]
        assert [each.overruns for each in together] == [each.overruns for each in alone]


def test_a_slot_awaits_answers_from_a_packet_on_until_all_have_come() -> None:
    slot = Slot()
    reader = RowReader(RowRings(slot.memory), 0)
    slot.row(0)
    assert reader.take(T0).size == 1
    assert not reader.awaits_answers()
    slot.row(1, None)
    slot.row(2)
    for _ in range(2):
        assert reader.awaits_answers()
        reader.take(T0)
    slot.row(1)
    assert not reader.awaits_answers()
    assert reader.take(T0).size == 1
    slot.row(0, epoch=2)
    assert reader.awaits_answers()


def test_a_reader_begins_with_the_first_row_of_a_slot_that_another_call_had() -> None:
    slot = Slot()
    rings = RowRings(slot.memory)
    slot.row(0)
    assert RowReader(rings, 0).take(T0).size == 1
    assert RowReader(rings, 0).take(T0).size == 1


def test_rows_come_in_order_of_their_index_across_the_ring_s_end() -> None:
    slot = Slot()
    reader = RowReader(RowRings(slot.memory), 0)
    for number in range(1000):
        slot.row(number)
    reader.take(T0)
    for number in range(1000, 1060):
        slot.row(number)
    indexes = reader.take(T0)["index"].tolist()
    assert indexes == list(range(indexes[0], indexes[0] + 60))


def test_packets_beyond_a_gap_that_is_wider_than_a_look_are_read_at_the_next_look() -> None:
    slot = Slot()
    reader = RowReader(RowRings(slot.memory), 0)
    for number in range(100):
        slot.row(number)
    reader.take(T0)
    for number in (*range(100, 110), *range(600, 640)):
        slot.row(number)
    assert reader.take(T0).size + reader.take(T0).size == 50


def test_packets_beyond_a_gap_are_read_at_once_where_only_an_older_row_was_read_before_it() -> None:
    slot = Slot()
    reader = RowReader(RowRings(slot.memory), 0)
    slot.row(1)
    assert reader.take(T0).size == 1
    slot.row(0)
    assert reader.take(T0).size == 1
    for number in (33, 34, 35):
        slot.row(number)
        assert reader.take(T0).size == 1


def test_packets_beyond_a_gap_are_read_at_once_after_a_pause_in_which_an_answer_was_due() -> None:
    slot = Slot()
    reader = RowReader(RowRings(slot.memory), 0)
    for number in range(60):
        slot.row(number, None if number == 50 else 5_000_000)
    assert [reader.take(T0).size for _ in range(3)] == [59, 0, 0]
    for number in range(90, 140):
        slot.row(number)
    assert reader.take(T0).size == 50
    assert reader.take(LATER).size == 1


def test_a_stream_that_pauses_while_an_answer_is_due_has_sent_no_more_than_before() -> None:
    slot = Slot()
    reader = RowReader(RowRings(slot.memory), 0)
    slot.row(0, None)
    slot.row(1)
    reader.take(T0)
    assert by_counter(count_all([reader])) == {Word.SENT_TO_ECHO: 2}
    reader.take(T0)
    assert by_counter(count_all([reader])) == {}
    assert reader.overruns == 0


@pytest.mark.parametrize(("field", "host_ns"), [(0, -1), (1, 0), (2, 32_000), (0xFFFF, 65_534 * 32_000)])
def test_a_host_time_that_the_echo_did_not_report_is_no_time_of_zero(field: int, host_ns: int) -> None:
    slot = Slot()
    slot.row(0, echo_host=field)
    (row,) = RowReader(RowRings(slot.memory), 0).take(T0)
    assert row["echo_host_ns"] == host_ns


def test_rows_keep_their_processors_and_the_echo_s_place() -> None:
    slot = Slot()
    slot.row(0, x_cpu=3, y_cpu=254, echo_is_local=True)
    slot.row(1)
    rows = RowReader(RowRings(slot.memory), 0).take(T0)
    assert rows["x_cpu"].tolist() == [3, UNKNOWN_CPU]
    assert rows["r_cpu"].tolist() == [UNKNOWN_CPU, UNKNOWN_CPU]
    assert rows["y_cpu"].tolist() == [254, UNKNOWN_CPU]
    assert rows["echo_is_local"].tolist() == [True, False]

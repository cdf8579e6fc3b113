"""The host's share of late packets, from rows and the stalls of processors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from row_slot import MS, PACKET_NS, T0, Slot, after

from rtppool_core.host.intervals import Interval
from rtppool_relay.streams.slices import Slice
from rtppool_relay.streams.stalls import NO_STALLS, Stalls

PACKETS = 400
LATE = 300
ARRIVED = T0 + LATE * PACKET_NS
ON_CPU_1 = {"x_cpu": 1, "y_cpu": 1, "r_cpu": 1, "echo_is_local": 1}


def call(stalls: Stalls, *, usual_round_trip_ns: int = 5 * MS, **of_late: int) -> Slice:
    """Measure a call with one late packet, whose media process is on processor 1 like its echo."""
    slot = Slot()
    statistics = slot.statistics()
    for number in range(PACKETS):
        row = {**ON_CPU_1, "round_trip_ns": usual_round_trip_ns, **(of_late if number == LATE else {})}
        slot.row(number, **row)
        if number % 50 == 49:
            statistics.collect(after(number, 0.1), stalls)
    return statistics.total


def late(total: Slice) -> dict[str, int]:
    """Return the causes that are not 0, and the judged packets."""
    names = ("late_source", "late_relay", "late_echo", "late_host", "late_judged", "late_judged_with_host")
    return {name.removeprefix("late_"): getattr(total, name) for name in names if getattr(total, name)}


def stalls(begin_ms: float, end_ms: float, *, on: Sequence[int] = (0, 1), watched: Sequence[int] = (0, 1)) -> Stalls:
    """Stalls of some watched processors, in ms after the arrival of the late packet."""
    return Stalls({processor: interval(begin_ms, end_ms) if processor in on else [] for processor in watched})


def interval(begin_ms: float, end_ms: float) -> list[Interval]:
    return [(ARRIVED + round(begin_ms * MS), ARRIVED + round(end_ms * MS))]


BY_HOST = {"host": 1, "judged_with_host": 1}


@pytest.mark.parametrize("on", [(1,), (0, 1)])
def test_a_stall_of_the_media_process_processor_is_the_hosts(on: tuple[int, ...]) -> None:
    """The packet is 10 ms in the relay before it goes to the echo, and 10 ms after."""
    assert late(call(stalls(0, 10, on=on), residence_ns=20 * MS)) == {"relay": 1, "judged": 1, "judged_with_host": 1}
    assert late(call(stalls(0, 26, on=on), residence_ns=20 * MS)) == BY_HOST


def test_the_unseen_time_before_a_stall_of_its_processor_is_the_hosts_where_the_stall_was_seen() -> None:
    """The packet is 2 ms in the relay before it goes to the echo, and 2 ms after."""
    seen: dict[int, list[Interval]] = {0: [], 1: interval(1.5, 2)}
    unseen = {1: interval(-1, 1.5)}
    assert late(call(Stalls(seen), residence_ns=4 * MS))["relay"] == 1
    assert late(call(Stalls(seen, unseen=unseen), residence_ns=4 * MS)) == BY_HOST
    assert late(call(Stalls({0: [], 1: []}, unseen=unseen), residence_ns=4 * MS))["relay"] == 1


def test_a_stall_of_another_processor_is_not() -> None:
    assert late(call(stalls(0, 10, on=(0,)), residence_ns=10 * MS)) == {"relay": 1, "judged": 1, "judged_with_host": 1}


def test_an_unknown_processor_stalls_when_all_do() -> None:
    unknown = {"residence_ns": 10 * MS, "x_cpu": 255, "y_cpu": 255}
    assert late(call(stalls(0, 20, on=(0,)), **unknown))["relay"] == 1
    assert late(call(stalls(0, 20), **unknown)) == BY_HOST


def test_the_media_process_wait_for_its_processor_is_the_hosts_and_the_echos_stage_knows_none() -> None:
    waits = Stalls({0: [], 1: []}, waits={1: interval(0, 30)})
    assert late(call(waits, residence_ns=20 * MS)) == BY_HOST
    assert late(call(waits, round_trip_ns=20 * MS)) == {"echo": 1, "judged": 1, "judged_with_host": 1}


def test_a_local_echos_stall_is_found_on_the_processor_that_received_the_answer() -> None:
    assert late(call(stalls(0, 30, on=(1,)), round_trip_ns=20 * MS)) == BY_HOST
    assert late(call(stalls(0, 30, on=(0,)), round_trip_ns=20 * MS))["echo"] == 1


def test_an_echo_elsewhere_is_not_excused_by_stalls_of_this_machine() -> None:
    elsewhere = {"round_trip_ns": 20 * MS, "echo_is_local": 0}
    assert late(call(stalls(0, 30), **elsewhere))["echo"] == 1
    # Units of 32 us, and one more: 0 is not reported.
    assert late(call(NO_STALLS, **elsewhere, echo_host=13 * MS // 32_000 + 2)) == BY_HOST
    assert late(call(NO_STALLS, **elsewhere, echo_host=1))["echo"] == 1


def test_a_source_that_stood_still_with_the_machine_is_late_by_the_host() -> None:
    assert late(call(stalls(0, 10), source_delay_ns=10 * MS)) == BY_HOST
    assert late(call(stalls(0, 10, on=(1,)), source_delay_ns=10 * MS)) == {"source": 1}


def test_an_echo_of_500_ms_under_constant_stalls_of_2_ms_is_late_by_the_echo() -> None:
    every_20_ms = [(ARRIVED + at * 20 * MS, ARRIVED + at * 20 * MS + 2 * MS) for at in range(-500, 500)]
    total = call(Stalls({0: every_20_ms, 1: every_20_ms}), round_trip_ns=500 * MS)
    assert late(total) == {"echo": 1, "judged": 1, "judged_with_host": 1}


def test_stalls_within_the_usual_time_of_an_echo_excuse_nothing() -> None:
    every_20_ms = [(ARRIVED + at * 20 * MS, ARRIVED + at * 20 * MS + 2 * MS) for at in range(-500, 500)]
    total = call(Stalls({0: every_20_ms, 1: every_20_ms}), usual_round_trip_ns=450 * MS, round_trip_ns=475 * MS)
    assert late(total) == {"echo": 1, "judged": 1, "judged_with_host": 1}


def test_the_hosts_share_is_no_more_than_the_part_itself() -> None:
    """A stall of 4.9 ms of the usual 5 ms of the echo, and 4 ms in the relay without one."""
    total = call(stalls(2.05, 6.95), residence_ns=4 * MS)
    assert late(total) == {"relay": 1, "judged": 1, "judged_with_host": 1}


def test_without_a_witness_no_packet_is_late_by_the_host_and_none_is_witnessed() -> None:
    total = call(NO_STALLS, residence_ns=10 * MS)
    assert (late(total)["relay"], total.witnessed) == (1, 0)
    assert call(stalls(0, 1)).witnessed == PACKETS
    assert np.isclose(total.judged_late, PACKETS)

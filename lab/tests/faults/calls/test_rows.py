import struct
from collections.abc import Sequence
from typing import Any

import pytest

from lab.base.report import Figure
from lab.faults.calls.rig.callers import Outcome
from lab.faults.calls.rig.recordings import PACKET_MICROSECONDS, Speaker, pcap, recordings
from lab.faults.calls.rig.relay import Record
from lab.faults.calls.rows.row_observer import Window
from lab.faults.calls.rows.rows import event_figures, load_figures
from lab.faults.calls.rows.tiers import C_CHAIN, OUR_CHAIN, tier_figures
from rtppool_core.rtp.header import parse
from rtppool_core.statistics.histogram import Histogram

CALLS = [f"{number}-load" for number in range(900)]


def status(**calls: Any) -> dict[str, Any]:
    durations = {"p99Microseconds": 4_000}
    counts = {"refused": {}, "orphansDeleted": 0, "setup": durations, "firstReturn": durations}
    return {"calls": {**counts, **calls}, "ports": {"leased": 0}}


def records(p50_microseconds: int | None = 100) -> list[Record]:
    return [
        Record(call, "callerGone", None, adopted=False, packets=9, answered=9, p50_microseconds=p50_microseconds)
        for call in CALLS
    ]


def missed(figures: Sequence[Figure]) -> list[str]:
    return [figure.name for figure in figures if not figure.holds]


EVERYTHING = Outcome(*[frozenset(CALLS)] * 3)


def test_a_load_in_which_every_call_completes_holds() -> None:
    assert missed(load_figures(EVERYTHING, records(), status(), [])) == []


@pytest.mark.parametrize(
    ("outcome", "taken", "reported", "stray", "name"),
    [
        (Outcome(frozenset(CALLS[:899])), records(), status(), [], "calls placed"),
        (Outcome(*[frozenset(CALLS)] * 2), records(), status(), [], "completed"),
        (EVERYTHING, records(), status(refused={"NoFreePort": 1}), [], "refused"),
        (EVERYTHING, records(), status(orphansDeleted=1), [], "orphans"),
        (EVERYTHING, records(), status(), ["one"], "orphans"),
        (EVERYTHING, records(None), status(), [], "calls with a zero or missing round trip"),
        (EVERYTHING, records(0), status(), [], "calls with a zero or missing round trip"),
        (EVERYTHING, records(), status(setup=None), [], "set-up, StasisStart to both in the bridge, p99"),
        (
            EVERYTHING,
            records(),
            status(firstReturn={"p99Microseconds": 5_001}),
            [],
            "Asterisk's first packet to its return, p99",
        ),
    ],
)
def test_each_figure_of_a_load_can_miss(
    outcome: Outcome, taken: list[Record], reported: dict[str, Any], stray: list[str], name: str
) -> None:
    assert name in missed(load_figures(outcome, taken, reported, stray))


def test_a_scenario_without_a_record_or_with_lost_or_late_packets_misses() -> None:
    good = Record("a", "callerGone", None, adopted=False, packets=10, answered=10)
    bad = Record("a", "callerGone", None, adopted=False, packets=9, answered=8, lost=1, late=1)
    assert missed(event_figures("keys", 10, [good])) == []
    assert len(missed(event_figures("keys", 10, [bad]))) == 3
    assert "keys: talked to the end, with a record" in missed(event_figures("keys", 10, []))


def window(residence_ns: int, *, met: bool = True, late: int = 0) -> Window:
    residence = Histogram()
    residence.record(residence_ns)
    return Window(met, 1_000, 0, late, residence, 1)


def test_tiers_hold_when_ours_meets_as_many_windows_as_c_and_is_as_fast() -> None:
    windows = {OUR_CHAIN: [window(190_000)] * 2, C_CHAIN: [window(100_000), window(100_000, met=False)]}
    assert missed(tier_figures(30, windows)) == []


def test_tiers_miss_by_fewer_windows_by_late_packets_and_by_residence() -> None:
    windows = {OUR_CHAIN: [window(210_000, met=False, late=2)], C_CHAIN: [window(100_000)]}
    assert len(missed(tier_figures(30, windows))) == 3


def test_a_run_without_packets_holds_nothing() -> None:
    nothing = Window(False, 0, 0, 0, Histogram(), None)
    assert len(missed(tier_figures(30, {OUR_CHAIN: [], C_CHAIN: [nothing]}))) == 3


def test_a_recording_is_read_back_as_the_rtp_that_was_spoken() -> None:
    recording = pcap([*Speaker(7, 65_535, 100).talk(2)])
    lengths = [struct.unpack_from("<IIII", recording, 24 + at * (16 + 42 + 172)) for at in range(2)]
    assert [(seconds, microseconds) for seconds, microseconds, _, _ in lengths] == [(0, 0), (0, PACKET_MICROSECONDS)]
    packets = [recording[24 + at * 230 + 16 + 42 :][:172] for at in range(2)]
    headers = [parse(packet) for packet in packets]
    assert [header.sequence for header in headers] == [65_535, 0]
    assert [header.timestamp for header in headers] == [100, 260]
    assert [header.marker for header in headers] == [True, False]


def test_a_pressed_key_keeps_its_timestamp_and_repeats_its_end() -> None:
    events = [parse(packet.rtp) for packet in Speaker(7, 0, 800).press(5, 4)]
    assert {event.timestamp for event in events} == {800}
    assert [event.marker for event in events] == [True, *[False] * 5]
    ends = [packet.rtp[13] & 0x80 for packet in Speaker(7, 0, 800).press(5, 4)]
    assert [bool(end) for end in ends] == [False, False, False, True, True, True]


def test_every_scenario_finds_its_recordings() -> None:
    assert set(recordings()) == {"first.pcap", "second.pcap", "keys.pcap"}

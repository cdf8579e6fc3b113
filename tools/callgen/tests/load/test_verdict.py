"""The verdict of a load test."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_cases import TIERS, report, violated, window
from msgspec.structs import replace

from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.load.call_ledger import RecordCounts
from rtppool_callgen.load.relay_counts import RelayCounts
from rtppool_callgen.load.verdict import (
    EXIT_MET,
    EXIT_NOTHING_MEASURED,
    EXIT_VIOLATED,
    CallCounts,
    Excess,
    LoadVerdict,
    call_counts,
    tier_verdicts,
    verdict,
)
from rtppool_callgen.load.windows import ImpossibleFigureError, LoadWindow, LoadWindows
from rtppool_core.contract.pools_file import SlaTier
from rtppool_core.contract.report import HistogramExport, LateByCause, Windows


def relay(refused: dict[str, int] | None = None, leased: int = 0) -> RelayCounts:
    counts = RelayCounts()
    counts.add({"calls": {"active": 0, "refused": {}, "orphansDeleted": 0}, "ports": {"leased": 0, "leaked": 0}})
    counts.add(
        {
            "calls": {"active": 0, "refused": refused or {}, "orphansDeleted": 0},
            "ports": {"leased": leased, "leaked": 0},
        }
    )
    return counts


def counts(
    tally: Tally | None = None,
    records: RecordCounts | None = None,
    seen: RelayCounts | None = None,
    *,
    interrupted: bool = False,
) -> CallCounts:
    tally = tally or Tally(placed=60, completed=60, heard_nothing=0, channels_left=0, bridges_left=0)
    records = records or RecordCounts(tally.completed, 0, 0, 0, 0)
    return call_counts(60, tally, seen or relay(), records, interrupted=interrupted)


def judged(
    windows: list[LoadWindow], calls: CallCounts | None = None, fault: str | None = None, *, interrupted: bool = False
) -> LoadVerdict:
    return verdict(tier_verdicts(windows), calls or counts(), fault, interrupted=interrupted)


def test_all_windows_met_and_all_calls_completed_is_met() -> None:
    found = judged([window(1), window(2)])
    assert (found.result, found.exit_code, found.shortfalls) == ("Met", EXIT_MET, ())
    assert found.sentence == "Met: all 2 judged windows are within the limits; 60 of 60 calls completed."


def test_one_violated_window_is_violated_and_names_tier_limit_and_worst_figure() -> None:
    found = judged([window(1), violated(2, measured=25_000), violated(3, measured=31_000)])
    assert (found.result, found.exit_code) == ("Violated", EXIT_VIOLATED)
    assert "in 2 of 3 judged windows (tier up to 30 calls: maxRttMicroseconds 31000 > 22000)" in found.sentence


@pytest.mark.parametrize("windows", [[], [window(1, "Unknown")], [window(1, mixed=True)]])
def test_without_a_judged_window_there_is_no_result_and_it_says_so(windows: list[LoadWindow]) -> None:
    found = judged(windows)
    assert (found.result, found.exit_code) == ("NothingMeasured", EXIT_NOTHING_MEASURED)
    assert found.sentence.startswith("Nothing was measured: 60 calls placed, and the relay judged none of")
    assert found.sentence.endswith("This is no result.")


def test_no_call_at_all_says_why() -> None:
    tally = Tally(not_placed={"Stasis application 'rtp-pool' is not registered": 4}, heard_nothing=0)
    found = judged([], counts(tally))
    assert "no call was placed (4 Stasis application 'rtp-pool' is not registered)" in found.sentence


def test_all_refused_is_nothing_measured_with_the_reason() -> None:
    found = judged([], counts(Tally(placed=9, refused={"NoFreePort": 9})))
    assert "9 calls refused (9 NoFreePort), and none was measured" in found.sentence
    assert found.exit_code == EXIT_NOTHING_MEASURED


def test_a_fault_is_the_reason_for_nothing() -> None:
    found = judged([], counts(Tally()), "the relay was not ready within 20 s: no answer")
    assert found.sentence == (
        "Nothing was measured: the relay was not ready within 20 s: no answer. This is no result."
    )


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [
        (counts(Tally(placed=63, completed=60, refused={"NoFreePort": 3})), "3 calls refused (3 NoFreePort)."),
        (counts(Tally(placed=61, completed=60, failed={"mediaGone": 1})), "1 call failed (1 mediaGone)."),
        (counts(Tally(placed=60, completed=60, not_placed={"away": 2})), "2 calls not placed (2 away)."),
        (counts(Tally(placed=50, completed=50)), "50 of 60 planned calls were placed."),
        (counts(Tally(placed=60, completed=60, channels_left=1, bridges_left=1)), "after the last call: 2."),
        (counts(seen=relay(leased=2)), "Ports still leased after the last call: 2."),
        (counts(records=RecordCounts(60, 1, 0, 0, 0)), "Calls with a round trip of zero: 1."),
        (counts(records=RecordCounts(59, 0, 1, 0, 0)), "Calls without a round trip: 2."),
        (counts(Tally(placed=60, completed=60, heard_nothing=4)), "Callers without any received packet: 4."),
    ],
)
def test_calls_that_did_not_go_as_planned_make_a_met_load_incomplete(calls: CallCounts, sentence: str) -> None:
    found = judged([window(1)], calls)
    assert (found.result, found.sla, found.exit_code) == ("Incomplete", "Met", EXIT_VIOLATED)
    assert any(sentence in each for each in found.shortfalls)


def test_an_interrupted_load_is_judged_by_what_there_is() -> None:
    tally = Tally(placed=20, completed=10, interrupted=10, heard_nothing=0)
    calls = counts(tally, RecordCounts(18, 0, 0, 0, 0), interrupted=True)
    found = judged([window(1)], calls, interrupted=True)
    assert (found.result, found.exit_code) == ("Met", EXIT_MET)
    assert "interrupted early" in found.sentence


def test_what_nobody_could_tell_is_no_shortfall_and_not_zero() -> None:
    calls = call_counts(60, Tally(placed=60, completed=60), RelayCounts(), None, interrupted=False)
    assert (calls.orphans, calls.leaked_ports, calls.ports_leased_by_nobody) == (None, None, None)
    assert (calls.zero_round_trip, calls.missing_round_trip, calls.heard_nothing) == (None, None, None)
    assert judged([window(1)], calls).result == "Met"


def test_callers_who_are_not_knows_refusals_have_them_taken_out_of_their_failures() -> None:
    tally = Tally(placed=66, completed=60, failed={"FailedUnexpectedMessage": 5, "FailedCall": 1}, knows_refusals=False)
    calls = counts(tally, seen=relay({"NoFreePort": 4}))
    assert calls.refused == {"NoFreePort": 4}
    assert calls.failed == {"FailedUnexpectedMessage": 1, "FailedCall": 1}


def test_windows_are_told_by_tier_with_the_worst_of_their_judged_ones() -> None:
    windows = [
        window(1, p99_microseconds=500),
        window(2, p99_microseconds=9_000, mixed=True),
        window(3, "Unknown", p99_microseconds=7_000),
        violated(4, tier=100),
        violated(5, tier=100, measured=24_000),
    ]
    small, large = tier_verdicts(windows)
    assert (small.up_to_calls, small.result, small.met, small.unknown, small.mixed) == (30, "Met", 1, 1, 1)
    assert small.worst_p99_microseconds == 500
    assert (large.up_to_calls, large.result, large.violated) == (100, "Violated", 2)
    assert large.excesses == (Excess("maxRttMicroseconds", 22_000, 25_000, 2),)


@given(st.lists(st.sampled_from(["Met", "Violated", "Unknown"]), max_size=30), st.booleans())
def test_the_exit_code_follows_from_the_windows_and_the_calls(results: list[str], whole: bool) -> None:
    calls = counts() if whole else counts(Tally(placed=60, completed=59, failed={"mediaGone": 1}))
    found = judged([window(at, result) for at, result in enumerate(results)], calls)
    if "Violated" in results:
        assert found.exit_code == EXIT_VIOLATED
    elif "Met" in results:
        assert found.exit_code == (EXIT_MET if whole else EXIT_VIOLATED)
    else:
        assert found.exit_code == EXIT_NOTHING_MEASURED


def windows_of(*polls: tuple[int, int, int]) -> LoadWindows:
    """(Unix second, active calls, tier) of each poll, whose window is the 60 s before."""
    taken = LoadWindows([SlaTier(*tier) for tier in TIERS])
    for at, active, tier in polls:
        taken.add(report(active, end=at, tier=tier), at - 1000, at)
    return taken


def test_a_window_that_saw_calls_of_a_higher_tier_is_mixed() -> None:
    taken = windows_of(
        (1000, 20, 30), (1001, 80, 100), (1002, 100, 100), (1003, 25, 30), (1061, 25, 30), (1063, 25, 30)
    )
    assert [each.mixed for each in taken.all] == [False, False, False, True, True, False]


def test_the_same_window_is_taken_once() -> None:
    assert len(windows_of((1000, 20, 30), (1000, 20, 30), (1001, 20, 30)).all) == 2


def test_a_window_has_the_figures_of_the_relays_histogram() -> None:
    (taken,) = windows_of((1000, 20, 30)).all
    assert (taken.packets, taken.late_source, taken.late_relay, taken.late_echo) == (300, 5, 2, 1)
    assert taken.late_ppm(taken.late_judged) == 10_000
    assert taken.late_host is None
    assert taken.p50_microseconds == pytest.approx(250, rel=0.016)
    assert taken.max_microseconds == 399
    assert taken.residence_p99_microseconds is None


@pytest.mark.parametrize(
    "changed",
    [
        {"packets": 10**400},
        {"packets": -1},
        {"late": LateByCause(source=-1)},
        {"late": LateByCause(host=-1)},
        {"late": LateByCause(judged=-1)},
        {"round_trip": HistogramExport(((5, 1),), 1, 10**400)},
    ],
)
def test_a_figure_that_no_relay_can_have_is_refused(changed: dict[str, Any]) -> None:
    told = report(1)
    assert told.windows.calls is not None
    calls = replace(told.windows.calls, **changed)
    with pytest.raises(ImpossibleFigureError, match="accepted is 0 to"):
        LoadWindows([]).add(replace(told, windows=Windows(calls)), 1.0, 1000)


def test_a_report_without_packets_of_calls_has_a_verdict_and_no_figures() -> None:
    taken = LoadWindows([])
    found = taken.add(report(0, end=None, result="Unknown", tier=None), 1.0, 1000)
    assert found is not None
    assert (found.result, found.packets, found.p50_microseconds) == ("Unknown", 0, None)
    assert found.late_ppm(0) is None

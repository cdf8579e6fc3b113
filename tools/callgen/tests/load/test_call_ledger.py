"""A relay's records, and its counts over a load."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtppool_callgen.load.call_ledger import CallLedger, RecordCounts
from rtppool_callgen.load.relay_counts import Growth, RelayCounts

NOTHING: dict[str, Any] = {"live": [], "recent": []}


def ended(name: str, p50: int | None = 200, started: int = 1, **more: Any) -> dict[str, Any]:
    figures = {"packets": 10} | ({} if p50 is None else {"p50Microseconds": p50})
    return {"call": name, "startedUnixMs": started, "endedUnixMs": started + 9, "figures": figures, **more}


def test_a_call_is_counted_once_however_often_its_record_is_read() -> None:
    ledger = CallLedger(NOTHING)
    for _ in range(3):
        ledger.add({"live": [], "recent": [ended("b"), ended("a")]})
    assert ledger.counts() == RecordCounts(records=2, zero=0, missing=0, refused=0, gaps=0)


def test_a_round_trip_of_zero_and_a_missing_one_are_told_apart() -> None:
    ledger = CallLedger(NOTHING)
    silent = {"call": "d", "startedUnixMs": 1}
    ledger.add({"recent": [ended("a"), ended("b", p50=0), ended("c", p50=None), silent]})
    assert ledger.counts() == RecordCounts(records=4, zero=1, missing=2, refused=0, gaps=0)


def test_a_refused_call_is_no_call_without_a_round_trip() -> None:
    ledger = CallLedger(NOTHING)
    ledger.add({"recent": [ended("a", p50=None, refused="NoFreePort")]})
    assert ledger.counts() == RecordCounts(records=0, zero=0, missing=0, refused=1, gaps=0)


def test_calls_that_were_there_before_are_somebody_elses() -> None:
    ledger = CallLedger({"live": [ended("live before")], "recent": [ended("ended before", p50=0)]})
    ledger.add({"recent": [ended("ours"), ended("live before"), ended("ended before", p50=0)]})
    assert ledger.counts().records == 1


def test_an_adopted_call_of_the_same_name_is_another_record() -> None:
    ledger = CallLedger(NOTHING)
    ledger.add({"recent": [ended("a", started=1), ended("a", started=2)]})
    assert ledger.counts().records == 2


def test_a_poll_with_only_new_records_may_have_missed_some() -> None:
    ledger = CallLedger(NOTHING)
    ledger.add({"recent": [ended("a")]})
    ledger.add({"recent": [ended("b"), ended("a")]})
    assert ledger.counts().gaps == 0
    ledger.add({"recent": [ended("d"), ended("c")]})
    assert ledger.counts().gaps == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["call", "figures", "x"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["live", "recent"]), json_values))
def test_whatever_a_relay_answers_the_ledger_stands(document: dict[str, Any]) -> None:
    ledger = CallLedger(document)
    ledger.add(document)
    counts = ledger.counts()
    assert counts.records >= counts.zero + counts.missing


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=10))
def test_a_count_that_only_grows_grew_by_the_difference(steps: list[int]) -> None:
    growth, value = Growth(), 500
    growth.add(value)
    for step in steps:
        value += step
        growth.add(value)
    assert growth.total == sum(steps)


def test_a_count_that_began_anew_goes_on_from_zero() -> None:
    growth = Growth()
    for value in (10, 14, 3, 4):
        growth.add(value)
    assert growth.total == 4 + 3 + 1


def status(**calls: Any) -> dict[str, Any]:
    return {"calls": {"active": 0, "accepted": 5, "refused": {}, **calls}, "ports": {"leased": 0}}


def test_what_a_relay_does_not_tell_is_not_known_and_not_zero() -> None:
    counts = RelayCounts()
    counts.add(status())
    counts.add(status(accepted=9))
    assert counts.accepted.total == 4
    assert counts.orphans_deleted.total is None
    assert counts.leaked.total is None
    assert RelayCounts().leased_without_call() is None


def test_refusals_before_the_load_are_not_its_own() -> None:
    counts = RelayCounts()
    counts.add(status(refused={"MaxCalls": 7}))
    counts.add(status(refused={"MaxCalls": 9, "NoFreePort": 3}))
    assert counts.refused_by_reason() == {"MaxCalls": 2, "NoFreePort": 3}


def test_a_port_that_is_leased_without_a_call_is_leased_by_nobody() -> None:
    counts = RelayCounts()
    counts.add({"calls": {"active": 2, "refused": {}}, "ports": {"leased": 3, "leaked": 1}})
    assert counts.leased_without_call() == 1
    counts.add({"calls": {"active": 0, "refused": {}}, "ports": {"leased": 0, "leaked": 2}})
    assert (counts.leased_without_call(), counts.leaked.total) == (0, 1)

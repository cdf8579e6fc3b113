from __future__ import annotations

from typing import Any

import msgspec
from snapshots import EACH, NOTHING, VIOLATED

from rtppool_core.contract.port_range import PortRange
from rtppool_relay.calls.record import CallRecord
from rtppool_relay.calls.table import CallEvent, CallState
from rtppool_relay.figures.call_figures import call_figures
from rtppool_relay.figures.live_seconds import LiveCalls, LiveHistory, LiveSecond
from rtppool_relay.http.live.documents import (
    CALL_FIELDS,
    MAX_ENDED,
    call_document,
    history_document,
    second_document,
    state_document,
)
from rtppool_relay.http.sla_document import sla_document
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.ports.port_manager import PortManager
from rtppool_relay.streams.slices import Slice

CALL = CallRecord(
    call="a", channel_id="c", state=CallState.TALKING, started_unix_ms=7, caller_number="***42", port=10000
)
GAP = LiveSecond(100, 0)


def decoded(document: dict[str, Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document))


def second(records: list[CallRecord], streams: dict[int, Slice]) -> Any:
    ports = PortManager(PortRange(10000, 10002))
    ports.lease(0)
    return decoded(second_document(100, {"calls": GAP, "probe": GAP}, ports, records, streams, LiveCalls()))


def test_a_second_has_the_ports_by_use_and_a_row_for_each_call() -> None:
    shown = second([CALL], {10000: Slice(packets=50, answered=49, late_echo=2)})
    assert shown["ports"]["map"] == [["leased", 1], ["free", 2]]
    assert shown["ports"]["start"] == 10000
    (row,) = shown["live"]
    named = dict(zip(CALL_FIELDS, row, strict=True))
    assert (named["call"], named["caller"], named["port"], named["packets"], named["lost"]) == (
        "a",
        "***42",
        10000,
        50,
        1,
    )
    assert (named["lateEcho"], named["lateHost"], named["second"]) == (2, None, None)


def test_a_call_without_a_packet_has_no_figures() -> None:
    (row,) = second([CALL], {})["live"]
    assert row[6:] == [None] * 7


@EACH
def test_the_state_has_the_document_of_sla(shown: Snapshot) -> None:
    state = decoded(state_document(shown))
    assert state["sla"] == msgspec.json.decode(msgspec.json.encode(sla_document(shown)))
    assert set(state["limitNames"]) == {check.limit for check in shown.checks}
    for kind, figures in (("calls", shown.calls), ("probe", shown.probe)):
        bars = state["histograms"][kind].get("roundTrip", [])
        assert sum(count for _, _, count in bars) == figures.round_trip.count


def test_nothing_that_was_not_measured_is_in_the_state() -> None:
    state = decoded(state_document(NOTHING))
    assert state["histograms"] == {"calls": {}, "probe": {}}
    assert "calls" not in state["sla"]
    assert state["violations"] == []
    assert decoded(state_document(VIOLATED))["violations"][0].startswith("Longest round trip: 23.001 ms")


def test_the_state_has_the_calls_that_ended_last_with_their_figures_and_reasons() -> None:
    total = Slice(packets=500, answered=499, late_source=9, late_relay=2, late_echo=1, late_host=4, witnessed=499)
    figures = call_figures(total, NOTHING.report.sla)
    ended = msgspec.structs.replace(CALL, ended_unix_ms=10_007, ended_by=CallEvent.CALLER_GONE, figures=figures)
    refused = msgspec.structs.replace(CALL, ended_unix_ms=8, refused="NoFreePort")
    first, second = decoded(state_document(NOTHING, [ended, refused]))["lastEnded"]
    assert (first["lastedMs"], first["why"], first["refused"], first["sla"]) == (10_000, "callerGone", False, "Unknown")
    # Without a round trip in it.
    assert (first["p50"], first["lost"], first["late"], first["packets"]) == (None, 1, 7, 500)
    assert (second["why"], second["refused"], second["caller"]) == ("NoFreePort", True, "***42")
    assert [second[name] for name in ("p50", "p99", "lost", "late", "packets", "sla")] == [None] * 6


def test_the_list_of_ended_calls_is_bounded() -> None:
    ended = [msgspec.structs.replace(CALL, ended_unix_ms=8)] * (MAX_ENDED + 1)
    assert len(state_document(NOTHING, ended)["lastEnded"]) == MAX_ENDED


def test_the_history_names_the_fields_of_all_later_events() -> None:
    history = LiveHistory()
    history.add(100, Slice())
    shown = decoded(history_document({"calls": history, "probe": LiveHistory()}, [10000], LiveCalls()))
    assert len(shown["calls"][0]) == len(shown["fields"]["second"])
    assert (shown["probe"], shown["sparklines"]) == ([], {"10000": []})


def test_a_call_that_has_ended_has_its_record_alone() -> None:
    shown = decoded(call_document(CALL, None, LiveCalls()))
    assert shown["record"]["callerNumber"] == "***42"
    assert (shown["seconds"], "histograms" in shown) == ([], False)

"""Asterisk's JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.ari.errors import AriFormatError
from rtppool_relay.ari.messages import (
    MAX_TEXT_CHARS,
    AsteriskInfo,
    BridgeGone,
    Channel,
    ChannelGone,
    ChannelStarted,
    DigitEnded,
    EnteredBridge,
    LeftBridge,
    Replaced,
    parse_asterisk_info,
    parse_bridge,
    parse_channel,
    parse_event,
)

CHANNEL: dict[str, Any] = {
    "id": "1700000000.1",
    "name": "PJSIP/alice-00000001",
    "state": "Ring",
    "caller": {"name": "", "number": "4940123"},
    "dialplan": {"context": "in", "exten": "1000", "priority": 1, "app_name": "Stasis", "app_data": "rtp-pool,x"},
}


def event(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, "application": "rtp-pool", **fields})


def test_a_channel_has_its_application_and_number() -> None:
    assert parse_channel(CHANNEL) == Channel("1700000000.1", "PJSIP/alice-00000001", "rtp-pool", "4940123")


def test_a_channel_in_the_dialplan_has_no_application() -> None:
    assert parse_channel(CHANNEL | {"dialplan": {"app_name": "Dial", "app_data": "rtp-pool"}}).application is None


def test_a_channel_without_its_dialplan_does_not_say_that_it_left_the_application() -> None:
    assert not parse_channel({"id": "1", "name": "PJSIP/a"}).has_dialplan
    assert parse_channel({"id": "1", "dialplan": {"app_name": "Wait"}}).has_dialplan


def test_the_events_of_a_call_are_understood() -> None:
    channel, bridge = {"channel": CHANNEL}, {"bridge": {"id": "b", "channels": []}}
    assert parse_event(event("StasisStart", **channel)) == ChannelStarted(parse_channel(CHANNEL), "rtp-pool")
    assert parse_event(event("StasisEnd", **channel)) == ChannelGone("1700000000.1", "rtp-pool")
    assert parse_event(event("ChannelDestroyed", **channel)) == ChannelGone("1700000000.1")
    assert parse_event(event("BridgeDestroyed", **bridge)) == BridgeGone("b")
    assert parse_event(event("ChannelEnteredBridge", **channel, **bridge)) == EnteredBridge("b", "1700000000.1")
    assert parse_event(event("ChannelLeftBridge", **channel, **bridge)) == LeftBridge("b", "1700000000.1")
    assert parse_event(event("ChannelDtmfReceived", **channel, digit="1", duration_ms=90)) == DigitEnded(
        "1700000000.1", 90
    )
    assert parse_event(event("ApplicationReplaced")) == Replaced("rtp-pool")
    assert parse_event(event("ChannelVarset", **channel)) is None


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", event("StasisEnd"), event("StasisStart", channel={"id": ""}), "[" * 100_000]
)
def test_a_message_that_is_no_event_is_refused_with_its_beginning(text: str) -> None:
    with pytest.raises(AriFormatError) as refused:
        parse_event(text)
    assert len(str(refused.value)) < 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                ["StasisStart", "StasisEnd", "ChannelEnteredBridge", "ChannelLeftBridge", "BridgeDestroyed"]
            )
        },
        optional=dict.fromkeys(("channel", "bridge", "application"), json_values),
    )
)
def test_a_strange_event_is_read_or_refused_and_nothing_else(document: dict[str, Any]) -> None:
    try:
        parse_event(json.dumps(document))
    except AriFormatError:
        return


@given(json_values)
def test_a_strange_channel_is_read_or_refused_and_nothing_else(inner: Any) -> None:
    for name in ("caller", "dialplan", "channelvars"):
        parse_channel(CHANNEL | {name: inner})


def test_asterisk_s_start_is_read_from_its_status() -> None:
    document = {"status": {"startup_time": "2026-11-25T03:00:00.123+0000", "last_reload_time": "x"}}
    assert parse_asterisk_info(document) == AsteriskInfo("2026-11-25T03:00:00.123+0000")


@pytest.mark.parametrize("document", [None, [], {}, {"status": None}, {"status": {"startup_time": ""}}])
def test_an_answer_without_asterisk_s_start_is_no_answer(document: Any) -> None:
    with pytest.raises(AriFormatError):
        parse_asterisk_info(document)


def test_ids_that_cannot_exist_are_left_out_of_lists() -> None:
    channels = ["1.2", "", "\ud800", "x" * (MAX_TEXT_CHARS + 1), "x" * MAX_TEXT_CHARS, 3, None]
    assert parse_bridge({"id": "b", "channels": channels}).channels == ("1.2", "x" * MAX_TEXT_CHARS)


def test_an_id_beyond_its_bound_is_refused_and_a_longer_name_is_cut() -> None:
    longest = "x" * MAX_TEXT_CHARS
    assert parse_channel({"id": longest, "name": longest + "y"}) == Channel(longest, longest, has_dialplan=False)
    with pytest.raises(AriFormatError):
        parse_channel({"id": longest + "y"})

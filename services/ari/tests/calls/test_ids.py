"""Ids of channels and bridges."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.calls.ids import MAX_ID, CallIds, call_of, is_media_of_any_relay, port_of_name

IDS = CallIds.of_relay("worker-1", "rtp-pool")


@given(st.text(min_size=1, max_size=400))
def test_ids_of_any_caller_fit_and_are_read_back(channel: str) -> None:
    call = call_of(channel)
    for part, identifier in (("media", IDS.media(call)), ("bridge", IDS.bridge(call))):
        assert len(identifier) <= MAX_ID
        assert identifier.isascii()
        assert IDS.parse(identifier) == (call, part)
    assert is_media_of_any_relay(IDS.media(call))


def test_ids_are_the_same_after_a_restart_and_others_on_another_node_or_in_another_application() -> None:
    assert CallIds.of_relay("worker-1", "rtp-pool") == IDS
    assert CallIds.of_relay("worker-2", "rtp-pool").parse(IDS.media("call")) is None
    assert CallIds.of_relay("worker-1", "staging").parse(IDS.media("call")) is None


def test_the_prefix_is_a_digest_of_node_and_application_with_a_nul_between() -> None:
    digest = hashlib.sha256(b"worker-1\0rtp-pool").hexdigest()[:8]
    assert IDS.media("call") == f"rtp_{digest}_call_media"
    assert CallIds.of_relay("worker-1r", "tp-pool") != CallIds.of_relay("worker-1", "rtp-pool")


def test_the_old_form_is_a_digest_of_the_node_alone() -> None:
    digest = hashlib.sha256(b"worker-1").hexdigest()[:8]
    assert CallIds.of_node("worker-1").bridge("call") == f"rtp_{digest}_call_bridge"
    assert CallIds.of_node("worker-1").parse(IDS.bridge("call")) is None


def test_an_earlier_relay_sees_neither_objects_of_its_own_nor_callers_in_the_new_ids() -> None:
    earlier = CallIds.of_node("worker-1")
    for identifier in (IDS.media("call"), IDS.bridge("call")):
        assert earlier.parse(identifier) is None
    assert re.fullmatch(r"rtp_[0-9a-f]{8}_.+_media", IDS.media("call"))


def test_a_caller_s_own_channel_is_no_media_channel() -> None:
    assert not is_media_of_any_relay("1700000000.17")
    assert IDS.parse("1700000000.17") is None


@given(st.text(max_size=60))
def test_reading_an_id_never_raises(text: str) -> None:
    IDS.parse(text)
    IDS.parse(IDS.prefix + text)
    port_of_name(text)


def test_the_port_is_read_from_the_channel_s_name() -> None:
    assert port_of_name("UnicastRTP/192.0.2.1:10042-0x7f41f8007940") == 10042
    assert port_of_name("UnicastRTP/[2001:db8::1]:10042-0x7f41f8007940") == 10042
    assert port_of_name("UnicastRTP/192.0.2.1:99999-0x1") is None
    assert port_of_name("PJSIP/alice-00000001") is None

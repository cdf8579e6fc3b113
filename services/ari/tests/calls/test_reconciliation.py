"""Differences between Asterisk's lists and the calls of a relay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.ari.messages import Bridge, Channel
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.reconciliation import KnownCall, Pair, Reconciliation, Stage, Vanished, reconcile

IDS = CallIds.of_node("worker-1")
OTHER = CallIds.of_node("worker-2")
APPLICATION = "rtp-pool"


def caller(name: str) -> Channel:
    return Channel(name, f"PJSIP/{name}-1", APPLICATION)


def media(name: str, ids: CallIds = IDS, port: int = 10000) -> Channel:
    return Channel(ids.media(name), f"UnicastRTP/192.0.2.1:{port}-0x1", APPLICATION)


def bridge(name: str, *members: str, ids: CallIds = IDS) -> Bridge:
    return Bridge(ids.bridge(name), members)


def compare(
    channels: list[Channel],
    bridges: list[Bridge],
    known: list[KnownCall] | None = None,
    lately: list[str] | None = None,
) -> Reconciliation:
    return reconcile(channels, bridges, known or [], lately or [], IDS, APPLICATION)


def test_a_whole_pair_is_adopted_with_its_port() -> None:
    found = compare([caller("a"), media("a", port=10042)], [bridge("a", "a", IDS.media("a"))])
    assert found == Reconciliation(adopt=(Pair("a", caller("a"), 10042),))


def test_a_media_channel_whose_caller_has_gone_is_an_orphan_and_so_is_its_bridge() -> None:
    found = compare([media("a")], [bridge("a", IDS.media("a"))])
    assert found == Reconciliation(orphan_channels=(IDS.media("a"),), orphan_bridges=(IDS.bridge("a"),))


def test_a_caller_who_waits_without_a_call_is_taken() -> None:
    assert compare([caller("a")], []) == Reconciliation(stranded=(caller("a"),))


def test_a_half_made_call_is_cleared_and_its_caller_taken_anew() -> None:
    found = compare([caller("a"), media("a")], [bridge("a", "a")])
    assert found.orphan_channels == (IDS.media("a"),)
    assert found.orphan_bridges == (IDS.bridge("a"),)
    assert found.stranded == (caller("a"),)


def test_objects_without_an_id_of_this_relay_are_left_alone() -> None:
    others = [media("b", OTHER), Channel("x", "PJSIP/x-1", "another-app"), Channel("y", "PJSIP/y-1")]
    assert compare(others, [bridge("b", ids=OTHER), Bridge("meeting", ("x", "y"))]) == Reconciliation()


def test_a_call_that_is_known_is_neither_adopted_nor_an_orphan() -> None:
    known = [KnownCall("a", "a", "settled")]
    assert compare([caller("a"), media("a")], [bridge("a", "a", IDS.media("a"))], known) == Reconciliation()


def test_a_call_that_is_still_being_set_up_is_left_to_its_steps() -> None:
    assert compare([caller("a")], [], [KnownCall("a", "a", "running")]) == Reconciliation()


def test_the_missing_part_of_a_settled_call_is_found() -> None:
    known = [KnownCall("a", "a", "settled")]
    pair = bridge("a", "a", IDS.media("a"))
    assert compare([media("a")], [pair], known).vanished == (Vanished("a", "caller"),)
    assert compare([caller("a")], [pair], known).vanished == (Vanished("a", "media"),)
    assert compare([caller("a"), media("a")], [], known).vanished == (Vanished("a", "bridge"),)
    assert compare([caller("a"), media("a")], [bridge("a", "a")], known).vanished == (Vanished("a", "bridge"),)


def test_a_call_that_ended_a_moment_ago_may_still_be_listed() -> None:
    found = compare([caller("a"), media("a")], [bridge("a", IDS.media("a"))], lately=["a"])
    assert found == Reconciliation()


def test_a_third_channel_in_the_bridge_does_not_hinder_an_adoption_and_is_reported_with_it() -> None:
    found = compare(
        [caller("a"), media("a"), Channel("third", "PJSIP/third-1", APPLICATION)],
        [bridge("a", "a", IDS.media("a"), "third")],
    )
    assert [(pair.call, pair.shared) for pair in found.adopt] == [("a", True)]


def test_a_third_channel_whose_coming_was_not_heard_is_found_in_the_bridge() -> None:
    found = compare(
        [caller("a"), media("a"), Channel("third", "PJSIP/third-1", APPLICATION)],
        [bridge("a", "a", IDS.media("a"), "third")],
        [KnownCall("a", "a", "settled")],
    )
    assert found.shared == ("a",)
    assert found.vanished == ()


@pytest.mark.parametrize("stage", ["awaiting", "running"])
def test_a_media_channel_whose_start_was_not_heard_is_found_in_the_application(stage: Stage) -> None:
    found = compare([caller("a"), media("a")], [bridge("a")], [KnownCall("a", "a", stage)])
    assert found == Reconciliation(started=("a",))


def test_a_media_channel_that_is_not_in_the_application_yet_has_not_started() -> None:
    waits = Channel(IDS.media("a"), "UnicastRTP/192.0.2.1:10000-0x1")
    assert compare([caller("a"), waits], [bridge("a")], [KnownCall("a", "a", "awaiting")]) == Reconciliation()


def test_the_missing_part_of_a_call_that_awaits_its_media_channel_is_found() -> None:
    known = [KnownCall("a", "a", "awaiting")]
    assert compare([media("a")], [bridge("a")], known).vanished == (Vanished("a", "caller"),)
    assert compare([caller("a")], [bridge("a")], known).vanished == (Vanished("a", "media"),)
    assert compare([caller("a"), media("a")], [], known).vanished == (Vanished("a", "bridge"),)


def test_a_caller_whom_another_client_put_into_another_bridge_has_moved() -> None:
    bridges = [bridge("a", IDS.media("a")), Bridge("meeting", ("a", "x"))]
    found = compare([caller("a"), media("a")], bridges, [KnownCall("a", "a", "settled")])
    assert found == Reconciliation(vanished=(Vanished("a", "place"),))


def test_a_caller_in_another_client_s_bridge_is_not_taken_as_a_new_call() -> None:
    assert compare([caller("a")], [Bridge("meeting", ("a", "x"))]) == Reconciliation()


def test_a_caller_whom_another_client_sent_on_in_the_dialplan_has_left() -> None:
    sent_on = Channel("a", "PJSIP/a-1")
    found = compare([sent_on, media("a")], [bridge("a", IDS.media("a"))], [KnownCall("a", "a", "settled")])
    assert found.vanished == (Vanished("a", "caller"),)


NAMES = st.sampled_from(["a", "b", "c"])
CHANNELS = st.one_of(
    st.builds(Channel, NAMES, st.just("PJSIP/x-1"), st.sampled_from([APPLICATION, "another", None])),
    st.builds(media, NAMES, st.sampled_from([IDS, OTHER]), st.integers(10000, 10010)),
)
MEMBERS = st.lists(st.sampled_from(["a", "b", "c", *(IDS.media(name) for name in "abc"), "third"]), max_size=4)
BRIDGES = st.one_of(
    st.builds(
        lambda name, members, ids: bridge(name, *members, ids=ids), NAMES, MEMBERS, st.sampled_from([IDS, OTHER])
    ),
    st.builds(lambda members: Bridge("meeting", tuple(members)), MEMBERS),
)
STAGES: st.SearchStrategy[Stage] = st.sampled_from(["running", "awaiting", "settled"])
KNOWN = st.dictionaries(NAMES, STAGES).map(lambda held: [KnownCall(name, name, stage) for name, stage in held.items()])


@given(st.lists(CHANNELS, max_size=8), st.lists(BRIDGES, max_size=6), KNOWN, st.lists(NAMES, max_size=2))
def test_with_any_lists_no_object_is_handled_twice_and_none_of_others_is_touched(
    channels: list[Channel], bridges: list[Bridge], known: list[KnownCall], lately: list[str]
) -> None:
    found = compare(channels, bridges, known, lately)
    held = {call.call for call in known}
    orphans = [IDS.parse(name) for name in (*found.orphan_channels, *found.orphan_bridges)]
    assert None not in orphans
    orphaned = {parsed[0] for parsed in orphans if parsed is not None}
    adopted = {pair.call for pair in found.adopt}
    stranded = {channel.id for channel in found.stranded}
    assert not (held | set(lately)) & (orphaned | adopted | stranded)
    assert not adopted & (orphaned | stranded)
    assert {gone.call for gone in found.vanished} | set(found.started) | set(found.shared) <= held
    assert all(channel.application == APPLICATION for channel in found.stranded)
    members = {name: set(each.channels) for each in bridges for name in [each.id]}
    for pair in found.adopt:
        assert {pair.caller.id, IDS.media(pair.call)} <= members[IDS.bridge(pair.call)]

"""Differences between Asterisk's answers and the calls of a relay."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.ari.messages import Bridge, Channel
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.reconciliation import (
    Calls,
    Inventory,
    KnownCall,
    Pair,
    Reconciliation,
    Stage,
    Vanished,
    bridges_to_request,
    channels_to_request,
    needs_other_applications,
    reconcile,
)

APPLICATION = "rtp-pool"
IDS = CallIds.of_relay("worker-1", APPLICATION)
OLD_IDS = CallIds.of_node("worker-1")
OTHER = CallIds.of_relay("worker-2", APPLICATION)
STAGING = CallIds.of_relay("worker-1", "staging")


def caller(name: str, application: str | None = APPLICATION) -> Channel:
    return Channel(name, f"PJSIP/{name}-1", application)


def odd(name: str) -> Channel:
    """Return a channel that Asterisk cannot describe."""
    return Channel(name, "")


def media(name: str, ids: CallIds = IDS, port: int = 10000) -> Channel:
    return Channel(ids.media(name), f"UnicastRTP/192.0.2.1:{port}-0x1", APPLICATION)


def bridge(name: str, *members: str, ids: CallIds = IDS) -> Bridge:
    return Bridge(ids.bridge(name), members)


def known(call: str = "a", stage: Stage = "settled", ids: CallIds = IDS, channel: str = "") -> KnownCall:
    return KnownCall(call, channel or call, stage, ids)


def calls(
    known_calls: Iterable[KnownCall] = (),
    lately: Iterable[str] = (),
    entered: Iterable[str] = (),
    left: Iterable[str] = (),
) -> Calls:
    return Calls(
        (IDS, OLD_IDS),
        {call.call: call for call in known_calls},
        frozenset(lately),
        frozenset(entered),
        frozenset(left),
    )


def everything(
    channels: Iterable[Channel],
    bridges: Iterable[Bridge],
    our_calls: Calls,
    listed: Iterable[str] | None = None,
    elsewhere: Iterable[str] = (),
) -> Inventory:
    """Return the inventory where Asterisk answers all requests. By default all channels in Stasis are listed."""
    channels = list(channels)
    ours = {channel.id for channel in channels if channel.application == APPLICATION or not channel.name}
    inventory = Inventory(
        listed=ours if listed is None else frozenset(listed),
        elsewhere=frozenset(elsewhere),
        channels={channel.id: channel for channel in channels},
        bridges={each.id: each for each in bridges},
        has_all_bridges=True,
    )
    return Inventory(
        inventory.listed,
        inventory.elsewhere,
        inventory.channels,
        channels_to_request(inventory, our_calls),
        inventory.bridges,
        bridges_to_request(inventory, our_calls),
        has_all_bridges=True,
    )


def compare(
    channels: list[Channel],
    bridges: list[Bridge],
    our_calls: Calls | None = None,
    listed: Iterable[str] | None = None,
    elsewhere: Iterable[str] = (),
) -> Reconciliation:
    our_calls = our_calls or calls()
    return reconcile(everything(channels, bridges, our_calls, listed, elsewhere), our_calls)


def test_a_whole_pair_is_adopted_with_its_port_which_no_new_call_gets() -> None:
    found = compare([caller("a"), media("a", port=10042)], [bridge("a", "a", IDS.media("a"))])
    assert found == Reconciliation(adopt=(Pair("a", caller("a"), 10042, IDS),), ports=frozenset({10042}))


def test_a_media_channel_whose_caller_has_gone_is_an_orphan_and_so_is_its_bridge() -> None:
    found = compare([media("a")], [bridge("a", IDS.media("a"))])
    assert (found.orphan_channels, found.orphan_bridges) == ((IDS.media("a"),), (IDS.bridge("a"),))
    assert (found.adopt, found.stranded) == ((), ())


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
    pair = [bridge("a", "a", IDS.media("a"))]
    assert compare([caller("a"), media("a")], pair, calls([known()])) == Reconciliation()


def test_a_call_that_is_still_being_set_up_is_left_to_its_steps() -> None:
    assert compare([caller("a")], [], calls([known(stage="running")])) == Reconciliation()


def test_the_missing_part_of_a_settled_call_is_found() -> None:
    pair, ours = bridge("a", "a", IDS.media("a")), calls([known()])
    assert compare([media("a")], [pair], ours).vanished == (Vanished("a", "caller"),)
    assert compare([caller("a")], [pair], ours).vanished == (Vanished("a", "media"),)
    assert compare([caller("a"), media("a")], [], ours).vanished == (Vanished("a", "bridge"),)
    assert compare([caller("a"), media("a")], [bridge("a", "a")], ours).vanished == (Vanished("a", "bridge"),)


def test_a_call_that_ended_a_moment_ago_may_still_be_listed() -> None:
    found = compare([caller("a"), media("a")], [bridge("a", IDS.media("a"))], calls(lately=["a"]))
    assert found == Reconciliation()


def test_a_third_channel_in_the_bridge_does_not_hinder_an_adoption_and_is_reported_with_it() -> None:
    found = compare([caller("a"), media("a"), caller("third")], [bridge("a", "a", IDS.media("a"), "third")])
    assert [(pair.call, pair.shared) for pair in found.adopt] == [("a", True)]


def test_a_third_channel_whose_coming_was_not_heard_is_found_in_the_bridge() -> None:
    channels = [caller("a"), media("a"), caller("third", None)]
    found = compare(channels, [bridge("a", "a", IDS.media("a"), "third")], calls([known()]))
    assert found.shared == ("a",)
    assert found.vanished == ()


@pytest.mark.parametrize("stage", ["awaiting", "running"])
def test_a_media_channel_whose_start_was_not_heard_is_found_in_the_application(stage: Stage) -> None:
    found = compare([caller("a"), media("a")], [bridge("a")], calls([known(stage=stage)]))
    assert found == Reconciliation(started=("a",))


def test_a_media_channel_that_is_not_in_the_application_yet_has_not_started() -> None:
    waits = Channel(IDS.media("a"), "UnicastRTP/192.0.2.1:10000-0x1")
    assert compare([caller("a"), waits], [bridge("a")], calls([known(stage="awaiting")])) == Reconciliation()


def test_the_missing_part_of_a_call_that_awaits_its_media_channel_is_found() -> None:
    ours = calls([known(stage="awaiting")])
    assert compare([media("a")], [bridge("a")], ours).vanished == (Vanished("a", "caller"),)
    assert compare([caller("a")], [bridge("a")], ours).vanished == (Vanished("a", "media"),)
    assert compare([caller("a"), media("a")], [], ours).vanished == (Vanished("a", "bridge"),)


def test_a_caller_whom_another_client_put_into_another_bridge_has_moved() -> None:
    bridges = [bridge("a", IDS.media("a")), Bridge("meeting", ("a", "x"))]
    found = compare([caller("a"), media("a")], bridges, calls([known()]))
    assert found == Reconciliation(vanished=(Vanished("a", "place"),))


@pytest.mark.parametrize("entered", [[], ["a"]])
def test_a_caller_in_another_client_s_bridge_is_not_taken_as_a_new_call(entered: list[str]) -> None:
    assert compare([caller("a")], [Bridge("meeting", ("a", "x"))], calls(entered=entered)) == Reconciliation()


def test_a_caller_whom_another_client_sent_on_in_the_dialplan_has_left() -> None:
    channels = [caller("a", None), media("a")]
    found = compare(channels, [bridge("a", IDS.media("a"))], calls([known()]))
    assert found.vanished == (Vanished("a", "caller"),)


# The list of the application holds subscriptions, not ownership.


def test_a_foreign_channel_that_is_subscribed_to_us_is_no_caller_of_ours() -> None:
    in_the_dialplan, in_another = caller("x", None), caller("y", "staging")
    found = compare([in_the_dialplan, in_another], [], listed=["x", "y"], elsewhere=["y"])
    assert found == Reconciliation()


def test_a_caller_who_moved_to_us_unheard_is_ours_though_the_dialplan_names_the_old_application() -> None:
    moved = caller("a", "staging")
    assert compare([moved], [], listed=["a"]).stranded == (moved,)


def test_a_caller_who_moved_away_unheard_is_not_ours_though_the_dialplan_names_our_application() -> None:
    pair = [bridge("a", IDS.media("a"))]
    found = compare([caller("a"), media("a")], pair, calls([known()]), listed=[IDS.media("a")], elsewhere=["a"])
    assert found.vanished == (Vanished("a", "caller"),)
    assert compare([caller("a")], [], listed=[], elsewhere=["a"]) == Reconciliation()


def test_absence_from_the_list_ends_no_call() -> None:
    pair = [bridge("a", "a", IDS.media("a"))]
    assert compare([caller("a"), media("a")], pair, calls([known()]), listed=[]) == Reconciliation()


def test_an_unsubscribed_caller_in_our_bridge_is_adopted() -> None:
    found = compare([caller("a"), media("a")], [bridge("a", "a", IDS.media("a"))], listed=[IDS.media("a")])
    assert [pair.call for pair in found.adopt] == ["a"]


def test_a_media_channel_that_is_not_in_our_application_is_not_deleted() -> None:
    found = compare([media("a")], [bridge("a", IDS.media("a"))], listed=[])
    assert (found.orphan_channels, found.orphan_bridges) == ((), ())


def test_a_caller_who_left_is_not_taken_again_while_the_list_still_has_the_channel() -> None:
    assert compare([caller("a")], [], calls(left=["a"])) == Reconciliation()


def test_a_caller_whose_start_was_heard_is_ours_without_another_request() -> None:
    ours = calls(entered=["a"])
    inventory = Inventory(listed=frozenset({"a"}), has_all_bridges=True)
    assert not needs_other_applications(inventory, ours)
    assert channels_to_request(inventory, ours) == set()
    assert [channel.id for channel in reconcile(inventory, ours).stranded] == ["a"]


def test_a_channel_that_took_the_caller_s_place_is_adopted_under_the_old_name() -> None:
    found = compare([caller("b"), media("a")], [bridge("a", "b", IDS.media("a"))])
    assert found.adopt == (Pair("a", caller("b"), 10000, IDS),)
    assert (found.stranded, found.orphan_channels) == ((), ())


# Channels that Asterisk cannot describe.


def test_an_odd_caller_in_our_application_is_taken_though_no_event_came() -> None:
    assert compare([odd("bad")], []).stranded == (odd("bad"),)


def test_an_odd_caller_s_call_is_adopted() -> None:
    found = compare([odd("bad"), media("bad")], [bridge("bad", "bad", IDS.media("bad"))])
    assert found.adopt == (Pair("bad", odd("bad"), 10000, IDS),)


def test_an_odd_caller_who_talks_has_not_left() -> None:
    pair = [bridge("bad", "bad", IDS.media("bad"))]
    assert compare([odd("bad"), media("bad")], pair, calls([known("bad")])) == Reconciliation()


def test_an_odd_channel_of_another_application_is_left_alone() -> None:
    assert compare([odd("bad")], [], elsewhere=["bad"]) == Reconciliation()


# Ids of an earlier relay.


def old_pair() -> tuple[list[Channel], list[Bridge]]:
    return [caller("a"), media("a", OLD_IDS)], [bridge("a", "a", OLD_IDS.media("a"), ids=OLD_IDS)]


def test_a_call_of_an_earlier_relay_is_adopted_with_its_ids() -> None:
    assert compare(*old_pair()).adopt == (Pair("a", caller("a"), 10000, OLD_IDS),)


@pytest.mark.parametrize("listed", [[], ["a"], [OLD_IDS.media("a")]])
def test_old_ids_are_left_alone_unless_caller_and_media_are_both_in_our_application(listed: list[str]) -> None:
    found = compare(*old_pair(), listed=listed)
    assert found == Reconciliation(ports=frozenset({10000}))


def test_old_ids_without_a_call_are_never_deleted() -> None:
    found = compare([media("a", OLD_IDS)], [bridge("a", OLD_IDS.media("a"), ids=OLD_IDS)])
    assert (found.orphan_channels, found.orphan_bridges) == ((), ())


def test_a_call_of_another_application_on_this_node_is_left_alone() -> None:
    channels = [caller("a", "staging"), media("a", STAGING)]
    pair = [bridge("a", "a", STAGING.media("a"), ids=STAGING)]
    assert compare(channels, pair, elsewhere=["a", STAGING.media("a")]) == Reconciliation()


# Requests that fail.


def test_without_any_answer_nothing_happens() -> None:
    assert reconcile(Inventory(), calls([known()], entered=["b"])) == Reconciliation()


def test_without_the_list_of_the_application_calls_are_adopted_and_nothing_is_deleted() -> None:
    ours = calls()
    full = everything([caller("a"), media("a"), media("b")], [bridge("a", "a", IDS.media("a"))], ours)
    found = reconcile(Inventory(None, None, full.channels, frozenset(), full.bridges, has_all_bridges=True), ours)
    assert [pair.call for pair in found.adopt] == ["a"]
    assert (found.orphan_channels, found.stranded) == ((), ())


def test_without_the_bridges_a_call_is_adopted_by_the_names_of_its_channels() -> None:
    listed = frozenset({"a", IDS.media("a")})
    inventory = Inventory(listed, frozenset(), {each.id: each for each in (caller("a"), media("a"))})
    found = reconcile(inventory, calls())
    assert found.adopt == (Pair("a", caller("a"), 10000, IDS),)
    assert found.stranded == ()


def test_a_media_channel_without_an_answer_is_neither_adopted_nor_deleted_and_its_caller_waits() -> None:
    listed = frozenset({"a", IDS.media("a")})
    pair = bridge("a", "a", IDS.media("a"))
    inventory = Inventory(listed, frozenset(), {"a": caller("a")}, bridges={pair.id: pair}, has_all_bridges=True)
    found = reconcile(inventory, calls())
    assert found == Reconciliation(unknown_ports=(IDS.media("a"),))


def test_a_listed_channel_without_an_answer_is_not_taken() -> None:
    inventory = Inventory(frozenset({"a"}), frozenset(), has_all_bridges=True)
    assert reconcile(inventory, calls()) == Reconciliation()


def test_a_candidate_is_not_taken_while_the_other_applications_are_unknown() -> None:
    inventory = Inventory(frozenset({"a"}), None, {"a": caller("a")}, has_all_bridges=True)
    assert needs_other_applications(inventory, calls())
    assert reconcile(inventory, calls()) == Reconciliation()


def test_without_a_list_each_object_of_a_call_is_requested() -> None:
    ours = calls([known()])
    assert channels_to_request(Inventory(), ours) == {"a", IDS.media("a")}
    assert bridges_to_request(Inventory(), ours) == {IDS.bridge("a")}


def test_channels_that_the_application_lists_are_not_requested_for_known_calls() -> None:
    assert channels_to_request(Inventory(listed=frozenset({"a", IDS.media("a")})), calls([known()])) == set()


NAMES = st.sampled_from(["a", "b", "c"])
FORMS = st.sampled_from([IDS, OLD_IDS, OTHER])
CHANNELS = st.one_of(
    st.builds(caller, NAMES, st.sampled_from([APPLICATION, "another", None])),
    st.builds(odd, NAMES),
    st.builds(media, NAMES, FORMS, st.integers(10000, 10010)),
)
IDENTIFIERS = [*"abc", *(ids.media(name) for name in "abc" for ids in (IDS, OLD_IDS)), "third"]
SOME = st.sets(st.sampled_from(IDENTIFIERS))
MEMBERS = st.lists(st.sampled_from(IDENTIFIERS), max_size=4)
BRIDGES = st.one_of(
    st.builds(lambda name, members, ids: bridge(name, *members, ids=ids), NAMES, MEMBERS, FORMS),
    st.builds(lambda members: Bridge("meeting", tuple(members)), MEMBERS),
)
STAGES: st.SearchStrategy[Stage] = st.sampled_from(["running", "awaiting", "settled"])
OUR_CALLS = st.builds(
    lambda held, lately, entered, left: calls(
        [known(name, stage, ids) for name, (stage, ids) in held.items()], lately, entered - left, left
    ),
    st.dictionaries(NAMES, st.tuples(STAGES, st.sampled_from([IDS, OLD_IDS]))),
    st.lists(NAMES, max_size=2),
    st.sets(NAMES),
    st.sets(NAMES),
)
INVENTORIES = st.builds(
    lambda listed, elsewhere, channels, absent, bridges, absent_bridges, whole: Inventory(
        listed,
        elsewhere,
        {each.id: each for each in channels if each.id not in absent},
        absent,
        {each.id: each for each in bridges},
        {IDS.bridge(name) for name in absent_bridges} - {each.id for each in bridges},
        whole,
    ),
    st.none() | SOME,
    st.none() | SOME,
    st.lists(CHANNELS, max_size=8),
    SOME,
    st.lists(BRIDGES, max_size=6),
    st.sets(NAMES),
    st.booleans(),
)


@given(INVENTORIES, OUR_CALLS)
def test_with_any_answers_no_object_is_handled_twice_and_none_of_others_is_touched(
    inventory: Inventory, ours: Calls
) -> None:
    found = reconcile(inventory, ours)
    busy = ours.known.keys() | ours.ended_recently
    orphans = [IDS.parse(name) for name in (*found.orphan_channels, *found.orphan_bridges)]
    assert None not in orphans
    orphaned = {parsed[0] for parsed in orphans if parsed is not None}
    adopted = {pair.call for pair in found.adopt}
    stranded = {channel.id for channel in found.stranded}
    assert not busy & (orphaned | adopted | stranded)
    assert not adopted & orphaned
    assert not stranded & ({pair.caller.id for pair in found.adopt} | set(ours.left))
    assert {gone.call for gone in found.vanished} | set(found.started) | set(found.shared) <= ours.known.keys()
    for channel in found.orphan_channels:
        assert inventory.is_listed(channel)
    for pair in found.adopt:
        media_id = pair.ids.media(pair.call)
        members = inventory.bridges.get(pair.ids.bridge(pair.call))
        assert members is None or {pair.caller.id, media_id} <= set(members.channels)
        assert pair.ids == IDS or (inventory.is_listed(pair.caller.id) and inventory.is_listed(media_id))
    for channel in stranded - set(ours.entered):
        assert inventory.is_listed(channel)
        assert inventory.is_in_stasis(channel)
        assert inventory.elsewhere is not None
        assert channel not in inventory.elsewhere
    for gone in found.vanished:
        call = ours.known[gone.call]
        is_absent = call.caller in inventory.absent_channels or inventory.has_moved(call.caller)
        has_left = call.caller in inventory.channels and not inventory.is_in_stasis(call.caller)
        assert gone.part != "caller" or is_absent or has_left
        assert gone.part != "media" or call.ids.media(call.call) in inventory.absent_channels

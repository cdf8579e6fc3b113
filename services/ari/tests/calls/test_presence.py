"""Channels in the application, by the events of a connection."""

from __future__ import annotations

from rtppool_relay.calls.presence import REMEMBER_LEFT_SECONDS, Presence


def test_a_channel_is_in_the_application_from_its_start_to_its_end() -> None:
    presence = Presence()
    presence.enter("a")
    assert (set(presence.entered), set(presence.left)) == ({"a"}, set())
    presence.leave("a", 0.0)
    assert (set(presence.entered), set(presence.left)) == (set(), {"a"})
    presence.enter("a")
    assert (set(presence.entered), set(presence.left)) == ({"a"}, set())


def test_a_channel_that_left_is_remembered_while_it_is_listed_or_a_list_may_be_older() -> None:
    presence = Presence()
    for channel in ("listed", "gone"):
        presence.leave(channel, 0.0)
    presence.prune({"listed"}, REMEMBER_LEFT_SECONDS - 1)
    assert set(presence.left) == {"listed", "gone"}
    presence.prune({"listed"}, REMEMBER_LEFT_SECONDS)
    assert set(presence.left) == {"listed"}


def test_a_new_connection_knows_nothing_of_the_previous_one_s_events() -> None:
    presence = Presence()
    presence.enter("a")
    presence.leave("b", 0.0)
    presence.examined = {"c"}
    presence.forget()
    assert (set(presence.entered), set(presence.left), set(presence.examined)) == (set(), set(), set())

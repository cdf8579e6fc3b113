"""The call table: every state and every event, as `call_table.txt` says it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.calls.table import TABLE, Action, Event, State, next_transition

STEPS = {
    Action.REFUSE,
    Action.ANSWER_AND_CREATE_BRIDGE,
    Action.CREATE_MEDIA_AND_CONNECT,
    Action.BRIDGE_BOTH,
    Action.TEAR_DOWN,
}
STEP_ENDS = {
    Event.OPENED,
    Event.REFUSED,
    Event.ANSWERED,
    Event.CONNECTED,
    Event.BRIDGED,
    Event.ADOPTED,
    Event.STEP_FAILED,
    Event.REFUSAL_SENT,
    Event.TORN_DOWN,
}
PAIRS = [(state, event) for state in State for event in Event]
PAGE = Path(__file__).with_name("call_table.txt")

Expected = dict[tuple[State, Event], tuple[State, tuple[Action, ...]]]


def expected_table() -> Expected:
    """What the page says; a pair that it does not list changes nothing."""
    table: Expected = {}
    state = None
    for line in PAGE.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if not line.startswith(" "):
            state = State(line)
            continue
        assert state is not None, "the page begins with a state"
        event, _, outcome = line.strip().partition("->")
        following, _, actions = outcome.partition(":")
        pair = state, Event(event.strip())
        assert pair not in table, f"{pair} stands there twice"
        done = tuple(Action(action.strip()) for action in actions.split(",") if action.strip())
        table[pair] = State(following.strip()), done
    return table


EXPECTED = expected_table()


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda value: value.value)
def test_the_table_does_what_the_page_says(state: State, event: Event) -> None:
    assert next_transition(state, event) == EXPECTED.get((state, event), (state, ()))


def test_the_page_has_a_paragraph_for_every_state_in_the_order_of_a_call() -> None:
    assert [line for line in PAGE.read_text().splitlines() if line and line[0] not in "# "] == [
        state.value for state in State
    ]


def test_the_page_lists_only_what_changes_something() -> None:
    assert not [pair for pair, outcome in EXPECTED.items() if outcome == (pair[0], ())]


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda value: value.value)
def test_a_step_begins_only_where_none_runs_or_where_one_has_just_ended(state: State, event: Event) -> None:
    transition = next_transition(state, event)
    if STEPS & set(transition.actions):
        assert event in STEP_ENDS or not state.is_running
        assert transition.state.is_running


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda value: value.value)
def test_a_state_that_waits_for_a_step_is_entered_only_with_that_step(state: State, event: Event) -> None:
    transition = next_transition(state, event)
    began = STEPS & set(transition.actions)
    if state != transition.state and transition.state.is_running and not began:
        assert state.is_running, "the step that runs goes on"
        assert event not in STEP_ENDS


@pytest.mark.parametrize("state", list(State), ids=lambda value: value.value)
def test_a_third_party_never_changes_where_a_call_is(state: State) -> None:
    transition = next_transition(state, Event.THIRD_PARTY)
    assert transition.state is state
    assert set(transition.actions) <= {Action.MARK_SHARED}


@pytest.mark.parametrize("event", list(Event), ids=lambda value: value.value)
def test_nothing_wakes_an_ended_call(event: Event) -> None:
    assert next_transition(State.ENDED, event) == (State.ENDED, ())


def test_a_call_that_goes_well_is_answered_dialled_bridged_and_torn_down() -> None:
    state, done = State.OPENING, []
    for event in (
        Event.OPENED,
        Event.ANSWERED,
        Event.MEDIA_STARTED,
        Event.CONNECTED,
        Event.BRIDGED,
        Event.CALLER_GONE,
        Event.TORN_DOWN,
    ):
        state, actions = next_transition(state, event)
        done += actions
    assert state is State.ENDED
    assert done == [
        Action.ANSWER_AND_CREATE_BRIDGE,
        Action.CREATE_MEDIA_AND_CONNECT,
        Action.BRIDGE_BOTH,
        Action.TEAR_DOWN,
        Action.FORGET,
    ]


@pytest.mark.parametrize("event", [Event.CALLER_GONE, Event.CALLER_MOVED, Event.ASTERISK_GONE])
@pytest.mark.parametrize("state", list(State), ids=lambda value: value.value)
def test_a_caller_who_is_not_there_is_not_sent_back_to_the_dialplan(state: State, event: Event) -> None:
    following, actions = next_transition(state, event)
    assert Action.RELEASE_CALLER not in actions
    if following is State.CALLER_LEFT:
        assert all(Action.RELEASE_CALLER not in next_transition(following, each).actions for each in Event)


def test_the_media_channel_s_start_may_come_after_the_reply() -> None:
    state, _ = next_transition(State.DIALLING, Event.CONNECTED)
    assert state is State.AWAITING_MEDIA
    assert next_transition(state, Event.MEDIA_STARTED) == (State.BRIDGING, (Action.BRIDGE_BOTH,))


def test_a_call_that_can_not_be_served_is_never_answered() -> None:
    for event in (Event.REFUSED, Event.STEP_FAILED):
        assert next_transition(State.OPENING, event) == (State.REFUSING, (Action.REFUSE,))


class _World:
    """Runs the table as a shell would: a step, once begun, ends in one of the events that belong to it."""

    def __init__(self) -> None:
        self.state = State.OPENING
        self.running = True
        self.forgotten = False
        self.torn_down = 0
        self.started = 0

    def feed(self, event: Event) -> None:
        if event in STEP_ENDS:
            assert self.running
            self.running = False
        self.state, actions = next_transition(self.state, event)
        begun = STEPS & set(actions)
        assert len(begun) <= 1
        if begun:
            assert not self.running, "two steps at a time"
            self.running = True
            self.started += 1
        self.torn_down += Action.TEAR_DOWN in actions
        self.forgotten = self.forgotten or Action.FORGET in actions


ENDS_OF = {
    State.OPENING: [Event.OPENED, Event.REFUSED, Event.STEP_FAILED],
    State.REFUSING: [Event.REFUSAL_SENT, Event.STEP_FAILED],
    State.ANSWERING: [Event.ANSWERED, Event.STEP_FAILED],
    State.DIALLING: [Event.CONNECTED, Event.STEP_FAILED],
    State.DIALLING_STARTED: [Event.CONNECTED, Event.STEP_FAILED],
    State.BRIDGING: [Event.BRIDGED, Event.STEP_FAILED],
    State.ADOPTING: [Event.ADOPTED, Event.REFUSED, Event.STEP_FAILED],
    State.BREAKING_OFF: [Event.ANSWERED, Event.STEP_FAILED],
    State.CALLER_LEFT: [Event.CONNECTED, Event.STEP_FAILED],
    State.ENDING: [Event.TORN_DOWN],
}
OUTSIDE = [event for event in Event if event not in STEP_ENDS]


@given(st.lists(st.tuples(st.sampled_from(OUTSIDE), st.booleans(), st.integers(0, 2)), max_size=40))
def test_whatever_happens_and_in_what_order_a_call_ends_once_and_leaves_nothing_open(
    happenings: list[tuple[Event, bool, int]],
) -> None:
    world = _World()
    for event, step_ends_first, which in happenings:
        if step_ends_first and world.running:
            ends = ENDS_OF[world.state]
            world.feed(ends[which % len(ends)])
        world.feed(event)
    for _ in range(len(State)):
        if world.running:
            world.feed(ENDS_OF[world.state][0])
        elif world.state is not State.ENDED:
            world.feed(Event.CALLER_GONE)
    assert world.state is State.ENDED
    assert world.forgotten
    assert not world.running
    assert world.torn_down <= 1


def test_the_table_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        TABLE[State.ENDED] = {}  # type: ignore[index]

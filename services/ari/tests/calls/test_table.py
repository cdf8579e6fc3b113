"""The call table: its notation, and rules that hold for every state and event."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.calls.runner import CallRunner
from rtppool_relay.calls.table import LIFE, STEP_ENDS, TABLE, CallEvent, CallState, TableError, parse_table

BEGINS = {CallEvent.ARRIVED, CallEvent.FOUND}
OUTSIDE = [event for event in CallEvent if event not in STEP_ENDS | BEGINS]
PAIRS = [(state, event) for state in CallState for event in CallEvent]
ACTIONS = {action for row in TABLE.values() for transition in row.values() for action in transition.actions}
STEPS = {action for action in ACTIONS if inspect.iscoroutinefunction(getattr(CallRunner, f"_{action}"))}
# States in which no step runs.
RESTING = {CallState.NEW, CallState.AWAITING_MEDIA, CallState.TALKING, CallState.ENDED}
END = ("tear_down", "close_port")
FAILED_ADOPTION = (CallState.ADOPTING, CallEvent.STEP_FAILED)


def is_running(state: CallState) -> bool:
    return state not in RESTING


def test_every_state_answers_or_ignores_every_event() -> None:
    assert [pair for pair in PAIRS if pair[1] not in TABLE[pair[0]]] == []


def test_every_action_is_a_method_of_the_runner_and_steps_are_coroutines() -> None:
    assert not [action for action in ACTIONS if not hasattr(CallRunner, f"_{action}")]
    assert {"begin_talking", "mark_shared", "forget"} == ACTIONS - STEPS


def test_every_state_can_be_reached_and_every_call_can_end() -> None:
    reached, ending = {CallState.NEW}, {CallState.ENDED}
    for _ in CallState:
        reached |= {TABLE[state][event].state for state in reached for event in CallEvent}
        ending |= {state for state, row in TABLE.items() if ending & {transition.state for transition in row.values()}}
    assert reached == ending == set(CallState)


def test_the_table_is_in_the_order_of_a_call_s_life() -> None:
    order = dict.fromkeys(line.split()[0] for line in LIFE.splitlines() if line and not line.startswith("#"))
    assert list(order) == list(CallState)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("new -> opening", "accepted is"),
        ("new --arrived--> nowhere", "nowhere"),
        ("new --knocked--> opening", "knocked"),
        ("lost --arrived--> opening", "lost"),
        ("new --arrived--> new", "new ignores arrived"),
        ("new ignores cut, cut", "new defines cut twice"),
        ("new --arrived--> opening: open_port  # a comment", "undefined: new found"),
        ("ended ignores all others", "undefined: new arrived"),
    ],
)
def test_a_faulty_line_is_refused(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_table(line)


def test_a_pair_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(TableError, match="talking defines cut twice"):
        parse_table(f"{LIFE}\ntalking --cut--> ended")


def test_a_step_begins_only_where_none_runs_or_where_one_has_just_ended() -> None:
    for state, event in PAIRS:
        following, actions = TABLE[state][event]
        if STEPS & set(actions):
            assert event in STEP_ENDS or not is_running(state), (state, event)
            assert is_running(following), (state, event)


def test_a_state_that_waits_for_a_step_is_entered_only_with_that_step() -> None:
    for state, event in PAIRS:
        following, actions = TABLE[state][event]
        if state != following and is_running(following) and not STEPS & set(actions):
            assert is_running(state), f"the step that runs goes on: {state}, {event}"
            assert event not in STEP_ENDS, (state, event)


def test_a_teardown_closes_the_port_last_and_each_state_of_the_end_does_its_own_work() -> None:
    for state, event in PAIRS:
        following, actions = TABLE[state][event]
        if following is not state:
            # A call that is not adopted may be the call of a relay that still serves it.
            end = END[1:] if state is CallState.LETTING_GO or (state, event) == FAILED_ADOPTION else END
            assert (following is CallState.ENDING) == (actions[-len(end) :] == end), (state, event)
            assert "tear_down" not in actions or end == END, (state, event)
            assert (following is CallState.ENDED) == (actions == ("forget",)), (state, event)
            assert (following is CallState.TALKING) == (actions == ("begin_talking",)), (state, event)


def test_a_third_party_never_changes_where_a_call_is() -> None:
    for state in CallState:
        following, actions = TABLE[state][CallEvent.THIRD_PARTY]
        assert following is state
        assert set(actions) <= {"mark_shared"}


def test_nothing_wakes_an_ended_call() -> None:
    assert {TABLE[CallState.ENDED][event] for event in CallEvent} == {(CallState.ENDED, ())}


def walk(*events: CallEvent) -> tuple[CallState, list[str]]:
    """Return the last state and all actions of a new call with these events."""
    state, done = CallState.NEW, []
    for event in events:
        state, actions = TABLE[state][event]
        done += actions
    return state, done


def test_a_call_that_goes_well_is_answered_dialled_bridged_and_torn_down() -> None:
    state, done = walk(
        CallEvent.ARRIVED,
        CallEvent.OPENED,
        CallEvent.ANSWERED,
        CallEvent.MEDIA_STARTED,
        CallEvent.CONNECTED,
        CallEvent.BRIDGED,
        CallEvent.CALLER_GONE,
        CallEvent.TORN_DOWN,
    )
    assert state is CallState.ENDED
    assert done == [
        "open_port",
        "answer_and_create_bridge",
        "create_media_and_connect",
        "bridge_both",
        "begin_talking",
        *END,
        "forget",
    ]


def test_a_call_that_is_found_in_asterisk_is_adopted_and_torn_down() -> None:
    state, done = walk(CallEvent.FOUND, CallEvent.ADOPTED, CallEvent.CALLER_GONE, CallEvent.TORN_DOWN)
    assert (state, done) == (CallState.ENDED, ["adopt_port", "begin_talking", *END, "forget"])


@pytest.mark.parametrize("end", [CallEvent.ADOPTED, CallEvent.STEP_FAILED])
def test_a_call_that_is_not_adopted_when_the_relay_ends_is_neither_given_back_nor_deleted(end: CallEvent) -> None:
    state, done = walk(CallEvent.FOUND, CallEvent.CUT, end, CallEvent.TORN_DOWN)
    assert (state, done) == (CallState.ENDED, ["adopt_port", "close_port", "forget"])


@pytest.mark.parametrize("event", [CallEvent.CALLER_GONE, CallEvent.CALLER_MOVED, CallEvent.ASTERISK_GONE])
def test_a_caller_who_is_not_there_is_not_sent_back_to_the_dialplan(event: CallEvent) -> None:
    assert not [state for state in CallState if "release_caller" in TABLE[state][event].actions]
    assert {TABLE[state][event].state for state in CallState} >= {CallState.CALLER_LEFT}
    assert not [each for each in CallEvent if "release_caller" in TABLE[CallState.CALLER_LEFT][each].actions]


def test_the_media_channel_s_start_may_come_after_the_reply() -> None:
    state, _ = TABLE[CallState.DIALLING][CallEvent.CONNECTED]
    assert state is CallState.AWAITING_MEDIA
    assert TABLE[state][CallEvent.MEDIA_STARTED] == (CallState.BRIDGING, ("bridge_both",))


def test_a_call_that_can_not_be_served_is_never_answered() -> None:
    for event in (CallEvent.REFUSED, CallEvent.STEP_FAILED):
        assert TABLE[CallState.OPENING][event] == (CallState.REFUSING, ("refuse",))


class World:
    """The table without a runner: a step that began ends in one of its own events."""

    def __init__(self, begin: CallEvent) -> None:
        self.state = CallState.NEW
        self.running = False
        self.forgotten = False
        self.torn_down = 0
        self.feed(begin)

    def feed(self, event: CallEvent) -> None:
        if event in STEP_ENDS:
            assert self.running
            self.running = False
        self.state, actions = TABLE[self.state][event]
        if STEPS & set(actions):
            assert not self.running, "two steps at a time"
            self.running = True
        self.torn_down += "tear_down" in actions
        self.forgotten = self.forgotten or "forget" in actions


ENDS_OF = {
    CallState.OPENING: [CallEvent.OPENED, CallEvent.REFUSED, CallEvent.STEP_FAILED],
    CallState.REFUSING: [CallEvent.REFUSAL_SENT, CallEvent.STEP_FAILED],
    CallState.ANSWERING: [CallEvent.ANSWERED, CallEvent.STEP_FAILED],
    CallState.DIALLING: [CallEvent.CONNECTED, CallEvent.STEP_FAILED],
    CallState.DIALLING_STARTED: [CallEvent.CONNECTED, CallEvent.STEP_FAILED],
    CallState.BRIDGING: [CallEvent.BRIDGED, CallEvent.STEP_FAILED],
    CallState.ADOPTING: [CallEvent.ADOPTED, CallEvent.STEP_FAILED],
    CallState.LETTING_GO: [CallEvent.ADOPTED, CallEvent.STEP_FAILED],
    CallState.BREAKING_OFF: [CallEvent.ANSWERED, CallEvent.STEP_FAILED],
    CallState.CALLER_LEFT: [CallEvent.CONNECTED, CallEvent.STEP_FAILED],
    CallState.ENDING: [CallEvent.TORN_DOWN],
}


def test_every_end_of_a_step_leads_on() -> None:
    assert not [(state, event) for state in ENDS_OF for event in ENDS_OF[state] if TABLE[state][event].state is state]


@given(
    st.sampled_from(sorted(BEGINS)),
    st.lists(st.tuples(st.sampled_from(OUTSIDE), st.booleans(), st.integers(0, 2)), max_size=40),
)
def test_with_any_events_in_any_order_a_call_ends_once_and_leaves_nothing_open(
    begin: CallEvent, happenings: list[tuple[CallEvent, bool, int]]
) -> None:
    world = World(begin)
    for event, step_ends_first, which in happenings:
        if step_ends_first and world.running:
            ends = ENDS_OF[world.state]
            world.feed(ends[which % len(ends)])
        world.feed(event)
    for _ in range(len(CallState)):
        if world.running:
            world.feed(ENDS_OF[world.state][0])
        elif world.state is not CallState.ENDED:
            world.feed(CallEvent.CALLER_GONE)
    assert world.state is CallState.ENDED
    assert world.forgotten
    assert not world.running
    assert world.torn_down <= 1


def test_the_table_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        TABLE[CallState.ENDED] = {}  # type: ignore[index]

"""A call's life as one table: state and event give the next state and what to do. No I/O, no clock.

At most one step (a job that ends in an event) runs at a time. An end that comes while a step runs waits for that
step, because a request that Asterisk still works on could create a channel after it was deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple


class State(Enum):
    """Where a call is. `running` of a state: a step is under way that will end in one of the step events."""

    OPENING = "opening"  # running: port, sockets, echo
    REFUSING = "refusing"  # running: back to the dialplan, unanswered
    ANSWERING = "answering"  # running: answer, bridge
    DIALLING = "dialling"  # running: externalMedia and its address; its StasisStart not seen
    DIALLING_STARTED = "diallingStarted"  # running: as DIALLING; its StasisStart came before the reply
    AWAITING_MEDIA = "awaitingMedia"  # externalMedia is connected; its StasisStart not seen
    BRIDGING = "bridging"  # running: both channels into the bridge
    TALKING = "talking"
    ADOPTING = "adopting"  # running: a pair found in Asterisk gets its port back
    BREAKING_OFF = "breakingOff"  # running: any step; then everything ends, the caller is still there
    CALLER_LEFT = "callerLeft"  # running: any step; then everything ends, the caller is gone or somebody else's
    ENDING = "ending"  # running: teardown
    ENDED = "ended"

    @property
    def is_running(self) -> bool:
        """A step is under way."""
        return self not in {State.AWAITING_MEDIA, State.TALKING, State.ENDED}


class Event(Enum):
    """What happens to a call. The first group ends a step; the second comes from outside at any time."""

    OPENED = "opened"
    REFUSED = "refused"
    ANSWERED = "answered"
    CONNECTED = "connected"
    BRIDGED = "bridged"
    ADOPTED = "adopted"
    STEP_FAILED = "stepFailed"
    REFUSAL_SENT = "refusalSent"
    TORN_DOWN = "tornDown"

    MEDIA_STARTED = "mediaStarted"
    CALLER_GONE = "callerGone"
    CALLER_MOVED = "callerMoved"  # somebody put the caller into another bridge, and has it now
    ASTERISK_GONE = "asteriskGone"  # that run of Asterisk is over, with all that was in it
    MEDIA_GONE = "mediaGone"
    BRIDGE_GONE = "bridgeGone"
    THIRD_PARTY = "thirdParty"
    TIMED_OUT = "timedOut"
    CUT = "cut"


# Ends that are nobody's wish: the caller would have talked on.
CUTS = frozenset(
    {
        Event.ASTERISK_GONE,
        Event.MEDIA_GONE,
        Event.BRIDGE_GONE,
        Event.TIMED_OUT,
        Event.CUT,
        Event.STEP_FAILED,
        Event.REFUSED,
    }
)


class Action(Enum):
    """What the shell does. All but MARK_SHARED are a step or part of one; the last of a transition ends it."""

    REFUSE = "refuse"
    ANSWER_AND_CREATE_BRIDGE = "answerAndCreateBridge"
    CREATE_MEDIA_AND_CONNECT = "createMediaAndConnect"
    BRIDGE_BOTH = "bridgeBoth"
    MARK_SHARED = "markShared"
    RELEASE_CALLER = "releaseCaller"
    TEAR_DOWN = "tearDown"
    FORGET = "forget"


class Transition(NamedTuple):
    """The next state, and what to do on the way, in order."""

    state: State
    actions: tuple[Action, ...] = ()


class _Ignored(Enum):
    """Why an event changes nothing in a state."""

    LATE = "the end is under way, or done"
    NEEDLESS = "it is known, or says nothing in this state"
    NO_SUCH_STEP = "no such step runs in this state"


_LATE, _NEEDLESS, _NO_STEP = _Ignored
_END = (Action.TEAR_DOWN,)
_RELEASE_AND_END = (Action.RELEASE_CALLER, Action.TEAR_DOWN)
_STEP_EVENTS = (
    Event.OPENED,
    Event.REFUSED,
    Event.ANSWERED,
    Event.CONNECTED,
    Event.BRIDGED,
    Event.ADOPTED,
    Event.STEP_FAILED,
    Event.REFUSAL_SENT,
    Event.TORN_DOWN,
)
Row = Mapping[Event, Transition | _Ignored]


def _no_other_step(*own: Event) -> Row:
    return {event: _NO_STEP for event in _STEP_EVENTS if event not in own}


_WHILE_A_STEP_RUNS: Row = {
    Event.CALLER_GONE: Transition(State.CALLER_LEFT),
    Event.CALLER_MOVED: Transition(State.CALLER_LEFT),
    Event.ASTERISK_GONE: Transition(State.CALLER_LEFT),
    Event.MEDIA_GONE: Transition(State.BREAKING_OFF),
    Event.BRIDGE_GONE: Transition(State.BREAKING_OFF),
    Event.TIMED_OUT: Transition(State.BREAKING_OFF),
    Event.CUT: Transition(State.BREAKING_OFF),
}
_WHILE_NO_STEP_RUNS: Row = {
    Event.CALLER_GONE: Transition(State.ENDING, _END),
    Event.CALLER_MOVED: Transition(State.ENDING, _END),
    Event.ASTERISK_GONE: Transition(State.ENDING, _END),
    Event.MEDIA_GONE: Transition(State.ENDING, _RELEASE_AND_END),
    Event.BRIDGE_GONE: Transition(State.ENDING, _RELEASE_AND_END),
    Event.CUT: Transition(State.ENDING, _RELEASE_AND_END),
}
_NOTHING_FROM_OUTSIDE_COUNTS: Row = {
    Event.MEDIA_STARTED: _LATE,
    Event.CALLER_GONE: _LATE,
    Event.CALLER_MOVED: _LATE,
    Event.ASTERISK_GONE: _LATE,
    Event.MEDIA_GONE: _LATE,
    Event.BRIDGE_GONE: _LATE,
    Event.THIRD_PARTY: _LATE,
    Event.TIMED_OUT: _LATE,
    Event.CUT: _LATE,
}

# Every pair stands here: a state's row holds each event, with a transition or the reason why it changes nothing.
_ROWS: dict[State, Row] = {
    State.OPENING: {
        **_no_other_step(Event.OPENED, Event.REFUSED, Event.STEP_FAILED),
        **_WHILE_A_STEP_RUNS,
        Event.OPENED: Transition(State.ANSWERING, (Action.ANSWER_AND_CREATE_BRIDGE,)),
        Event.REFUSED: Transition(State.REFUSING, (Action.REFUSE,)),
        Event.STEP_FAILED: Transition(State.REFUSING, (Action.REFUSE,)),
        # Neither exists yet; an orphan of the same name may.
        Event.MEDIA_STARTED: _NEEDLESS,
        Event.MEDIA_GONE: _NEEDLESS,
        Event.BRIDGE_GONE: _NEEDLESS,
        Event.THIRD_PARTY: _NEEDLESS,
    },
    State.REFUSING: {
        **_no_other_step(Event.REFUSAL_SENT, Event.STEP_FAILED),
        **_NOTHING_FROM_OUTSIDE_COUNTS,
        Event.REFUSAL_SENT: Transition(State.ENDED, (Action.FORGET,)),
        Event.STEP_FAILED: Transition(State.ENDED, (Action.FORGET,)),
    },
    State.ANSWERING: {
        **_no_other_step(Event.ANSWERED, Event.STEP_FAILED),
        **_WHILE_A_STEP_RUNS,
        Event.ANSWERED: Transition(State.DIALLING, (Action.CREATE_MEDIA_AND_CONNECT,)),
        Event.STEP_FAILED: Transition(State.ENDING, _RELEASE_AND_END),
        Event.MEDIA_STARTED: _NEEDLESS,
        Event.MEDIA_GONE: _NEEDLESS,
        Event.THIRD_PARTY: Transition(State.ANSWERING, (Action.MARK_SHARED,)),
    },
    State.DIALLING: {
        **_no_other_step(Event.CONNECTED, Event.STEP_FAILED),
        **_WHILE_A_STEP_RUNS,
        Event.CONNECTED: Transition(State.AWAITING_MEDIA),
        Event.STEP_FAILED: Transition(State.ENDING, _RELEASE_AND_END),
        Event.MEDIA_STARTED: Transition(State.DIALLING_STARTED),
        Event.THIRD_PARTY: Transition(State.DIALLING, (Action.MARK_SHARED,)),
    },
    State.DIALLING_STARTED: {
        **_no_other_step(Event.CONNECTED, Event.STEP_FAILED),
        **_WHILE_A_STEP_RUNS,
        Event.CONNECTED: Transition(State.BRIDGING, (Action.BRIDGE_BOTH,)),
        Event.STEP_FAILED: Transition(State.ENDING, _RELEASE_AND_END),
        Event.MEDIA_STARTED: _NEEDLESS,
        Event.THIRD_PARTY: Transition(State.DIALLING_STARTED, (Action.MARK_SHARED,)),
    },
    State.AWAITING_MEDIA: {
        **_no_other_step(),
        **_WHILE_NO_STEP_RUNS,
        Event.MEDIA_STARTED: Transition(State.BRIDGING, (Action.BRIDGE_BOTH,)),
        Event.TIMED_OUT: Transition(State.ENDING, _RELEASE_AND_END),
        Event.THIRD_PARTY: Transition(State.AWAITING_MEDIA, (Action.MARK_SHARED,)),
    },
    State.BRIDGING: {
        **_no_other_step(Event.BRIDGED, Event.STEP_FAILED),
        **_WHILE_A_STEP_RUNS,
        Event.BRIDGED: Transition(State.TALKING),
        Event.STEP_FAILED: Transition(State.ENDING, _RELEASE_AND_END),
        Event.MEDIA_STARTED: _NEEDLESS,
        Event.THIRD_PARTY: Transition(State.BRIDGING, (Action.MARK_SHARED,)),
    },
    State.TALKING: {
        **_no_other_step(),
        **_WHILE_NO_STEP_RUNS,
        Event.MEDIA_STARTED: _NEEDLESS,
        Event.TIMED_OUT: _NEEDLESS,  # the limit is for the set-up
        Event.THIRD_PARTY: Transition(State.TALKING, (Action.MARK_SHARED,)),
    },
    State.ADOPTING: {
        **_no_other_step(Event.ADOPTED, Event.REFUSED, Event.STEP_FAILED),
        **_WHILE_A_STEP_RUNS,
        Event.ADOPTED: Transition(State.TALKING),
        # Answered long ago: it can't be refused any more, only given back.
        Event.REFUSED: Transition(State.ENDING, _RELEASE_AND_END),
        Event.STEP_FAILED: Transition(State.ENDING, _RELEASE_AND_END),
        Event.MEDIA_STARTED: _NEEDLESS,
        Event.THIRD_PARTY: Transition(State.ADOPTING, (Action.MARK_SHARED,)),
    },
    State.BREAKING_OFF: {
        **dict.fromkeys(_STEP_EVENTS, Transition(State.ENDING, _RELEASE_AND_END)),
        **_NOTHING_FROM_OUTSIDE_COUNTS,
        Event.CALLER_GONE: Transition(State.CALLER_LEFT),
        Event.CALLER_MOVED: Transition(State.CALLER_LEFT),
        Event.ASTERISK_GONE: Transition(State.CALLER_LEFT),
        Event.REFUSAL_SENT: _NO_STEP,
        Event.TORN_DOWN: _NO_STEP,
    },
    State.CALLER_LEFT: {
        **dict.fromkeys(_STEP_EVENTS, Transition(State.ENDING, _END)),
        **_NOTHING_FROM_OUTSIDE_COUNTS,
        Event.REFUSAL_SENT: _NO_STEP,
        Event.TORN_DOWN: _NO_STEP,
    },
    State.ENDING: {
        **_no_other_step(Event.TORN_DOWN),
        **_NOTHING_FROM_OUTSIDE_COUNTS,
        Event.TORN_DOWN: Transition(State.ENDED, (Action.FORGET,)),
    },
    State.ENDED: {
        **_no_other_step(),
        **_NOTHING_FROM_OUTSIDE_COUNTS,
    },
}


def _transition(state: State, entry: Transition | _Ignored) -> Transition:
    return entry if isinstance(entry, Transition) else Transition(state)


TABLE: Mapping[State, Mapping[Event, Transition]] = MappingProxyType(
    {
        state: MappingProxyType({event: _transition(state, entry) for event, entry in row.items()})
        for state, row in _ROWS.items()
    }
)


def next_transition(state: State, event: Event) -> Transition:
    """What an event does to a call in a state."""
    return TABLE[state][event]

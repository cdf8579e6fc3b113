"""The life of a call as one table: a state and an event give the next state and the runner's actions.

At most one step runs at a time: a job of the runner that ends in an event. An end that arrives meanwhile waits for the
step, because a request that Asterisk still works on could create a channel after its deletion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class CallState(StrEnum):
    """A call's place in the table, as `/calls` shows it."""

    NEW = "new"
    OPENING = "opening"
    REFUSING = "refusing"
    ANSWERING = "answering"
    DIALLING = "dialling"
    DIALLING_STARTED = "diallingStarted"
    AWAITING_MEDIA = "awaitingMedia"
    BRIDGING = "bridging"
    TALKING = "talking"
    ADOPTING = "adopting"
    LETTING_GO = "lettingGo"
    BREAKING_OFF = "breakingOff"
    CALLER_LEFT = "callerLeft"
    ENDING = "ending"
    ENDED = "ended"


class CallEvent(StrEnum):
    """An input of the table: the begin of a call, the end of a step, or an event from outside at any time."""

    ARRIVED = "arrived"
    FOUND = "found"

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
    CALLER_MOVED = "callerMoved"  # another client put the caller into another bridge
    ASTERISK_GONE = "asteriskGone"  # that run of Asterisk is over, with all its channels
    MEDIA_GONE = "mediaGone"
    BRIDGE_GONE = "bridgeGone"
    THIRD_PARTY = "thirdParty"
    TIMED_OUT = "timedOut"
    CUT = "cut"


STEP_ENDS = frozenset(
    {
        CallEvent.OPENED,
        CallEvent.REFUSED,
        CallEvent.ANSWERED,
        CallEvent.CONNECTED,
        CallEvent.BRIDGED,
        CallEvent.ADOPTED,
        CallEvent.STEP_FAILED,
        CallEvent.REFUSAL_SENT,
        CallEvent.TORN_DOWN,
    }
)
# Ends that the caller did not ask for.
CUTS = frozenset(
    {
        CallEvent.ASTERISK_GONE,
        CallEvent.MEDIA_GONE,
        CallEvent.BRIDGE_GONE,
        CallEvent.TIMED_OUT,
        CallEvent.CUT,
        CallEvent.STEP_FAILED,
        CallEvent.REFUSED,
    }
)
# States from a caller's arrival to the call's first packet.
SET_UP = frozenset(
    {
        CallState.NEW,
        CallState.OPENING,
        CallState.REFUSING,
        CallState.ANSWERING,
        CallState.DIALLING,
        CallState.DIALLING_STARTED,
        CallState.AWAITING_MEDIA,
        CallState.BRIDGING,
    }
)
# States in which the end of a call is under way.
LEAVING = frozenset(
    {
        CallState.REFUSING,
        CallState.LETTING_GO,
        CallState.BREAKING_OFF,
        CallState.CALLER_LEFT,
        CallState.ENDING,
        CallState.ENDED,
    }
)

# Read it as `state --events--> next state: actions`. A state answers every event or ignores it. `other steps` are the
# begins and step ends that cannot occur in the state. `all others` are all events that the state does not answer.
LIFE = """
new             --arrived-->                                opening: open_port
new             --found-->                                  adopting: adopt_port
new             ignores all others

opening         --opened-->                                 answering: answer_and_create_bridge
opening         --refused, stepFailed-->                    refusing: refuse
opening         --callerGone, callerMoved, asteriskGone-->  callerLeft
opening         --timedOut, cut-->                          breakingOff
# Neither media channel nor bridge exists yet. Their events belong to an orphan of the same name.
opening         ignores other steps, mediaStarted, thirdParty, mediaGone, bridgeGone

refusing        --refusalSent, stepFailed-->                ended: forget
refusing        ignores all others

answering       --answered-->                               dialling: create_media_and_connect
answering       --stepFailed-->                             ending: release_caller, tear_down, close_port
answering       --thirdParty-->                             answering: mark_shared
answering       --callerGone, callerMoved, asteriskGone-->  callerLeft
answering       --bridgeGone, timedOut, cut-->              breakingOff
answering       ignores other steps, mediaStarted, mediaGone

dialling        --connected-->                              awaitingMedia
dialling        --mediaStarted-->                           diallingStarted
dialling        --stepFailed-->                             ending: release_caller, tear_down, close_port
dialling        --thirdParty-->                             dialling: mark_shared
dialling        --callerGone, callerMoved, asteriskGone-->  callerLeft
dialling        --mediaGone, bridgeGone, timedOut, cut-->   breakingOff
dialling        ignores other steps

diallingStarted --connected-->                              bridging: bridge_both
diallingStarted --stepFailed-->                             ending: release_caller, tear_down, close_port
diallingStarted --thirdParty-->                             diallingStarted: mark_shared
diallingStarted --callerGone, callerMoved, asteriskGone-->  callerLeft
diallingStarted --mediaGone, bridgeGone, timedOut, cut-->   breakingOff
diallingStarted ignores other steps, mediaStarted

awaitingMedia   --mediaStarted-->                           bridging: bridge_both
awaitingMedia   --thirdParty-->                             awaitingMedia: mark_shared
awaitingMedia   --callerGone, callerMoved, asteriskGone-->  ending: tear_down, close_port
awaitingMedia   --mediaGone, bridgeGone, timedOut, cut-->   ending: release_caller, tear_down, close_port
awaitingMedia   ignores other steps

bridging        --bridged-->                                talking: begin_talking
bridging        --stepFailed-->                             ending: release_caller, tear_down, close_port
bridging        --thirdParty-->                             bridging: mark_shared
bridging        --callerGone, callerMoved, asteriskGone-->  callerLeft
bridging        --mediaGone, bridgeGone, timedOut, cut-->   breakingOff
bridging        ignores other steps, mediaStarted

talking         --thirdParty-->                             talking: mark_shared
talking         --callerGone, callerMoved, asteriskGone-->  ending: tear_down, close_port
talking         --mediaGone, bridgeGone, cut-->             ending: release_caller, tear_down, close_port
talking         ignores other steps, mediaStarted, timedOut  # the time limit is for the set-up

# An adopted call was answered long ago, and it may be the call of a relay that still serves it. A failed adoption is
# tried again, and the call is left as it is where this relay ends first.
adopting        --adopted-->                                talking: begin_talking
adopting        --stepFailed-->                             ending: close_port
adopting        --thirdParty-->                             adopting: mark_shared
adopting        --callerGone, callerMoved, asteriskGone-->  callerLeft
adopting        --mediaGone, bridgeGone-->                  breakingOff
adopting        --timedOut, cut-->                          lettingGo
adopting        ignores other steps, mediaStarted

# The adoption still runs. Then its port is closed, and the call goes on in Asterisk.
lettingGo       --adopted, stepFailed-->                    ending: close_port
lettingGo       --callerGone, callerMoved, asteriskGone-->  callerLeft
lettingGo       ignores all others

# A step still runs. Then the call ends, and the caller, who is still there, goes back to the dialplan.
breakingOff     --opened, refused, answered, connected-->   ending: release_caller, tear_down, close_port
breakingOff     --bridged, adopted, stepFailed-->           ending: release_caller, tear_down, close_port
breakingOff     --callerGone, callerMoved, asteriskGone-->  callerLeft
breakingOff     ignores all others

# A step still runs. Then the call ends, without a caller.
callerLeft      --opened, refused, answered, connected-->   ending: tear_down, close_port
callerLeft      --bridged, adopted, stepFailed-->           ending: tear_down, close_port
callerLeft      ignores all others

ending          --tornDown-->                               ended: forget
ending          ignores all others

ended           ignores all others
"""


class Transition(NamedTuple):
    """The next state, and the runner's methods (without their underscore) to call on the way, in order."""

    state: CallState
    actions: tuple[str, ...] = ()


Table = Mapping[CallState, Mapping[CallEvent, Transition]]


class TableError(ValueError):
    """A line of the table that does not parse, or a pair of state and event that is missing or defined twice."""


_ARROW = re.compile(r"(\w+) +--(.+)--> +(\w+)(?:: (.+))?")
_IGNORED = re.compile(r"(\w+) +ignores (.+)")
_BEGINS_AND_STEP_ENDS = STEP_ENDS | {CallEvent.ARRIVED, CallEvent.FOUND}


def parse_table(text: str) -> Table:
    """Read the arrow notation of `LIFE`.

    Raises:
        TableError: a line is malformed, or a pair of state and event is missing or defined twice.
    """
    rows: dict[CallState, dict[CallEvent, Transition]] = {state: {} for state in CallState}
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        if arrow := _ARROW.fullmatch(line):
            name, events, following, actions = arrow.groups()
            transition = Transition(CallState(following), tuple(_names(actions or "")))
            if transition == (name, ()):
                raise TableError(f"{line!r} changes nothing; write {name} ignores {events}")
        elif ignored := _IGNORED.fullmatch(line):
            name, events = ignored.groups()
            transition = Transition(CallState(name))
        else:
            raise TableError(f"{line!r}; accepted is `state --events--> state: actions` or `state ignores events`")
        row = rows[CallState(name)]
        for event in _expand(events, row):
            if event in row:
                raise TableError(f"{name} defines {event} twice, the second time in {line!r}")
            row[event] = transition
    missing = [f"{state} {event}" for state, row in rows.items() for event in CallEvent if event not in row]
    if missing:
        raise TableError(f"undefined: {', '.join(missing)}")
    return MappingProxyType({state: MappingProxyType(row) for state, row in rows.items()})


def _expand(events: str, row: Mapping[CallEvent, Transition]) -> Iterator[CallEvent]:
    for name in _names(events):
        if name == "all others":
            yield from [event for event in CallEvent if event not in row]
        elif name == "other steps":
            yield from [event for event in CallEvent if event in _BEGINS_AND_STEP_ENDS and event not in row]
        else:
            yield CallEvent(name)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


TABLE = parse_table(LIFE)

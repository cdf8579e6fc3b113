"""The differences between Asterisk's answers and the calls of this relay.

Asterisk may refuse some requests of a comparison. An object is absent only where Asterisk said so: an object without an
answer is unknown, and an unknown object ends no call, is not deleted and is not adopted.

The list of an application holds its subscriptions. A channel of another application may be subscribed to ours, and a
channel of ours may be unsubscribed. So the list names candidates, and no absence from it ends a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from rtppool_relay.ari.messages import Bridge, Channel
from rtppool_relay.calls.ids import CallIds, call_of, is_media_of_any_relay, port_of_name

Stage = Literal["running", "awaiting", "settled"]
Part = Literal["caller", "media", "bridge", "place"]


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A call of this relay and its stage, which it had both before the requests and after their answers.

    `settled`: talking, or its adoption is tried. `awaiting`: the media channel was created, and its start is awaited.
    `running`: any other, or the stage changed. A running step fails or times out by itself, and the answers may be
    older than its result.
    """

    call: str
    caller: str
    stage: Stage
    ids: CallIds


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of this relay, and the callers that are none.

    Attributes:
        forms: the form of the ids that this relay creates, then the old forms that it also adopts.
        known: calls known before the requests or after their answers.
        ended_recently: calls that ended in the last seconds: Asterisk may still list their deleted parts.
        entered: channels whose StasisStart for our application was the last event of them.
        left: channels that have left our application or were refused, and are still listed.
    """

    forms: tuple[CallIds, ...]
    known: Mapping[str, KnownCall] = field(default_factory=dict)
    ended_recently: AbstractSet[str] = frozenset()
    entered: AbstractSet[str] = frozenset()
    left: AbstractSet[str] = frozenset()

    def parse(self, identifier: str) -> tuple[CallIds, str, str] | None:
        """Return form, call and part of an id of ours, in any form."""
        for form in self.forms:
            if parsed := form.parse(identifier):
                return form, *parsed
        return None

    def is_busy(self, call: str) -> bool:
        """Return whether a call of this name exists or ended a moment ago."""
        return call in self.known or call in self.ended_recently


@dataclass(frozen=True)
class Inventory:
    """Asterisk's answers to one comparison.

    Attributes:
        listed: the channels that our application is subscribed to, or None where this is unknown.
        elsewhere: the channels that other applications are subscribed to, or None where this is unknown.
        channels: channels that exist.
        absent_channels: channels that do not exist.
        bridges: bridges that exist.
        absent_bridges: bridges that do not exist.
        has_all_bridges: `bridges` are all bridges of Asterisk.
    """

    listed: AbstractSet[str] | None = None
    elsewhere: AbstractSet[str] | None = None
    channels: Mapping[str, Channel] = field(default_factory=dict)
    absent_channels: AbstractSet[str] = frozenset()
    bridges: Mapping[str, Bridge] = field(default_factory=dict)
    absent_bridges: AbstractSet[str] = frozenset()
    has_all_bridges: bool = False

    def is_listed(self, channel: str) -> bool:
        """Return whether our application is known to be subscribed to the channel."""
        return self.listed is not None and channel in self.listed

    def is_in_stasis(self, channel: str) -> bool:
        """Return whether a channel is in a Stasis application. One without a description is taken to be."""
        found = self.channels.get(channel)
        return found is not None and (found.application is not None or not found.name or not found.has_dialplan)

    def has_moved(self, channel: str) -> bool:
        """Return whether another application has the channel, and ours has it no longer."""
        is_unlisted = self.listed is not None and channel not in self.listed
        return is_unlisted and self.elsewhere is not None and channel in self.elsewhere

    @cached_property
    def present_channels(self) -> set[str]:
        """The channels that some answer names and none denies."""
        members = {member for bridge in self.bridges.values() for member in bridge.channels}
        return (members | self.channels.keys() | (self.listed or set())) - self.absent_channels

    @cached_property
    def listed_by_call(self) -> dict[str, set[str]]:
        """The channels that our application is subscribed to, by the name that a call of theirs has."""
        found: dict[str, set[str]] = {}
        for channel in self.listed or ():
            found.setdefault(call_of(channel), set()).add(channel)
        return found

    def foreign_members(self, calls: Calls) -> set[str]:
        """Return the channels in bridges of other clients."""
        return {
            member for name, bridge in self.bridges.items() if calls.parse(name) is None for member in bridge.channels
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """A call found in Asterisk: caller and media channel in the bridge, which may be `shared` with a third one."""

    call: str
    caller: Channel
    port: int
    ids: CallIds
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Vanished:
    """A part of a known call that Asterisk no longer has. `place`: the caller is in a bridge of another client."""

    call: str
    part: Part


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The differences, in the order of their resolution.

    Attributes:
        vanished: parts of calls, which end.
        started: calls whose media channel has started.
        shared: calls with a third channel in their bridge.
        adopt: complete calls to adopt.
        orphan_channels: media channels to delete.
        orphan_bridges: bridges to delete.
        stranded: callers to take as new calls, after the deletion of orphans of that name.
        ports: the ports that media channels without a call of this relay send to.
        unknown_ports: media channels without a call of this relay whose ports are unknown.
    """

    vanished: tuple[Vanished, ...] = ()
    started: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    adopt: tuple[Pair, ...] = ()
    orphan_channels: tuple[str, ...] = ()
    orphan_bridges: tuple[str, ...] = ()
    stranded: tuple[Channel, ...] = ()
    ports: frozenset[int] = frozenset()
    unknown_ports: tuple[str, ...] = ()


def candidates(listed: Iterable[str], calls: Calls) -> set[str]:
    """Return the listed channels that are neither callers of calls nor media channels, and whose state is unknown."""
    callers = {call.caller for call in calls.known.values()}
    return {
        channel
        for channel in listed
        if channel not in callers
        and channel not in calls.left
        and not is_media_of_any_relay(channel)
        and not calls.is_busy(call_of(channel))
    }


def unlisted_callers(listed: AbstractSet[str], calls: Calls) -> set[str]:
    """Return the callers of calls that our application is not subscribed to."""
    return {call.caller for call in calls.known.values() if call.caller not in listed}


def channels_to_request(inventory: Inventory, calls: Calls) -> set[str]:
    """Return the channels that the comparison needs and no answer describes yet."""
    needed = set()
    for call in calls.known.values():
        needed |= {part for part in (call.caller, call.ids.media(call.call)) if not inventory.is_listed(part)}
    needed |= candidates(inventory.listed or (), calls) - calls.entered
    for channel in filter(is_media_of_any_relay, inventory.present_channels):
        parsed = calls.parse(channel)
        if parsed is not None and parsed[2] == "media" and not calls.is_busy(parsed[1]):
            needed.add(channel)
    for name, bridge in inventory.bridges.items():
        parsed = calls.parse(name)
        if parsed is not None and not calls.is_busy(parsed[1]):
            needed |= set(bridge.channels)
    return needed - inventory.channels.keys() - inventory.absent_channels


def bridges_to_request(inventory: Inventory, calls: Calls) -> set[str]:
    """Return the bridges of ours that the comparison needs, where Asterisk does not list its bridges."""
    needed = {call.ids.bridge(call.call) for call in calls.known.values()}
    for channel in filter(is_media_of_any_relay, inventory.present_channels):
        parsed = calls.parse(channel)
        if parsed is not None and parsed[2] == "media":
            needed.add(parsed[0].bridge(parsed[1]))
    return needed - inventory.bridges.keys() - inventory.absent_bridges


def needs_other_applications(inventory: Inventory, calls: Calls) -> bool:
    """Return whether the subscriptions of other applications decide about a channel."""
    if inventory.listed is None:
        return False
    unconfirmed = candidates(inventory.listed, calls) - calls.entered
    return bool(unconfirmed or unlisted_callers(inventory.listed, calls))


def reconcile(inventory: Inventory, calls: Calls) -> Reconciliation:
    """Compare Asterisk's answers with the calls of this relay."""
    media = {
        channel: (parsed[0], parsed[1])
        for channel in sorted(filter(is_media_of_any_relay, inventory.present_channels))
        if (parsed := calls.parse(channel)) and parsed[2] == "media"
    }
    unowned = {channel: of for channel, of in media.items() if not calls.is_busy(of[1])}
    pairs = tuple(pair for channel, of in unowned.items() if (pair := _pair(channel, *of, inventory, calls)))
    taken = {pair.call for pair in pairs}
    undecided = {
        call
        for channel, (form, call) in unowned.items()
        if call not in taken and not _is_decided(channel, form, call, inventory)
    }
    current, kept = calls.forms[0], taken | undecided
    orphans = tuple(
        channel
        for channel, (form, call) in unowned.items()
        if form == current and call not in kept and inventory.is_listed(channel)
    )
    gone = {*orphans, *inventory.absent_channels}
    elsewhere = inventory.foreign_members(calls)
    ports = {channel: _port(channel, inventory) for channel in unowned}
    return Reconciliation(
        vanished=tuple(
            Vanished(call.call, part)
            for call in calls.known.values()
            if (part := _vanished_part(call, inventory, elsewhere)) is not None
        ),
        started=tuple(
            call.call
            for call in calls.known.values()
            if call.stage != "settled" and inventory.is_in_stasis(call.ids.media(call.call))
        ),
        shared=tuple(call.call for call in calls.known.values() if _is_shared(call, inventory)),
        adopt=pairs,
        orphan_channels=orphans,
        orphan_bridges=tuple(
            name for name, bridge in inventory.bridges.items() if _is_orphan(bridge, gone, kept, inventory, calls)
        ),
        stranded=_stranded(inventory, calls, pairs, undecided, elsewhere),
        ports=frozenset(port for port in ports.values() if port is not None),
        unknown_ports=tuple(channel for channel, port in ports.items() if port is None),
    )


def _port(media: str, inventory: Inventory) -> int | None:
    found = inventory.channels.get(media)
    return port_of_name(found.name) if found is not None else None


def _is_decided(media: str, form: CallIds, call: str, inventory: Inventory) -> bool:
    """Return whether the answers suffice to decide that this media channel belongs to no call."""
    bridge = form.bridge(call)
    is_bridge_known = bridge in inventory.bridges or bridge in inventory.absent_bridges
    return is_bridge_known and media in inventory.channels


def _pair(media: str, form: CallIds, call: str, inventory: Inventory, calls: Calls) -> Pair | None:
    port, bridge = _port(media, inventory), inventory.bridges.get(form.bridge(call))
    if port is None or form.bridge(call) in inventory.absent_bridges:
        return None
    # Where Asterisk does not say who is in the bridge, the names of both channels match.
    named = inventory.listed_by_call.get(call, set()) | {media}
    members = set(bridge.channels) if bridge is not None else named
    others = {member for member in members & inventory.present_channels if not is_media_of_any_relay(member)}
    # An attended transfer puts another channel into the caller's place.
    callers = {member for member in others if call_of(member) == call} or others
    if media not in members or len(callers) != 1:
        return None
    (caller,) = callers
    both_listed = inventory.is_listed(media) and inventory.is_listed(caller)
    if inventory.has_moved(caller) or (form != calls.forms[0] and not both_listed):
        return None
    return Pair(call, inventory.channels.get(caller, Channel(caller, "")), port, form, members != {caller, media})


def _is_orphan(
    bridge: Bridge, gone: AbstractSet[str], kept: AbstractSet[str], inventory: Inventory, calls: Calls
) -> bool:
    """Return whether a bridge is ours by its id, belongs to no call, and holds no channel of others."""
    parsed = calls.parse(bridge.id)
    if parsed is None or parsed[2] != "bridge" or parsed[0] != calls.forms[0]:
        return False
    if calls.is_busy(parsed[1]) or parsed[1] in kept:
        return False
    return all(member in gone or inventory.is_listed(member) for member in bridge.channels)


def _stranded(
    inventory: Inventory, calls: Calls, pairs: Iterable[Pair], undecided: AbstractSet[str], elsewhere: AbstractSet[str]
) -> tuple[Channel, ...]:
    """Return the callers in our application without a call.

    A channel without a StasisStart on this connection must be in Stasis, and in no other application's list. A channel
    that Asterisk cannot describe has neither StasisStart nor other events. A caller who talks with a media channel of
    an old form may be the caller of another relay.
    """
    adopted = {pair.caller.id for pair in pairs} | {pair.call for pair in pairs}
    talking = {
        member
        for name, bridge in inventory.bridges.items()
        if (parsed := calls.parse(name)) and parsed[0] != calls.forms[0]
        if parsed[0].media(parsed[1]) in inventory.present_channels.intersection(bridge.channels)
        for member in bridge.channels
    }
    found = candidates({*(inventory.listed or ()), *calls.entered} - inventory.absent_channels, calls)

    def is_ours(channel: str) -> bool:
        if channel in calls.entered:
            return inventory.has_all_bridges
        is_foreign = inventory.elsewhere is None or channel in inventory.elsewhere
        return inventory.is_in_stasis(channel) and not is_foreign

    return tuple(
        inventory.channels.get(channel, Channel(channel, ""))
        for channel in sorted(found - elsewhere - talking)
        if is_ours(channel) and not {channel, call_of(channel)} & adopted and call_of(channel) not in undecided
    )


def _is_shared(call: KnownCall, inventory: Inventory) -> bool:
    bridge = inventory.bridges.get(call.ids.bridge(call.call))
    return bridge is not None and not set(bridge.channels) <= {call.caller, call.ids.media(call.call)}


def _vanished_part(call: KnownCall, inventory: Inventory, elsewhere: AbstractSet[str]) -> Part | None:
    if call.stage == "running":
        return None
    media, bridge = call.ids.media(call.call), call.ids.bridge(call.call)
    if call.caller in inventory.absent_channels or inventory.has_moved(call.caller):
        return "caller"
    if call.caller in inventory.channels and not inventory.is_in_stasis(call.caller):
        return "caller"
    if media in inventory.absent_channels:
        return "media"
    found = inventory.bridges.get(bridge)
    if found is None and bridge not in inventory.absent_bridges:
        return None
    members = {call.caller, media} if call.stage == "settled" else set()
    if found is not None and members <= set(found.channels):
        return None
    return "place" if call.caller in elsewhere else "bridge"

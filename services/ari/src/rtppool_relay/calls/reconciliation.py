"""The differences between Asterisk's channels and bridges and the calls of this relay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from rtppool_relay.ari.messages import Bridge, Channel
from rtppool_relay.calls.ids import CallIds, call_of, is_media_of_any_relay, port_of_name

Stage = Literal["running", "awaiting", "settled"]
Part = Literal["caller", "media", "bridge", "place"]


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A call of this relay and its stage, which it had both before the request of the lists and after their arrival.

    `settled`: talking. `awaiting`: the media channel was created, and its start is awaited. `running`: any other, or
    the stage changed. A running step fails or times out by itself, and the lists may be older than its result.
    """

    call: str
    caller: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class Pair:
    """A call found in Asterisk: caller and media channel in the bridge, which may be `shared` with a third one."""

    call: str
    caller: Channel
    port: int
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
    """

    vanished: tuple[Vanished, ...] = ()
    started: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    adopt: tuple[Pair, ...] = ()
    orphan_channels: tuple[str, ...] = ()
    orphan_bridges: tuple[str, ...] = ()
    stranded: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class _Snapshot:
    channels: Mapping[str, Channel]
    bridges: Mapping[str, Bridge]
    media: Mapping[str, Channel] = field(default_factory=dict)

    def foreign_members(self, ids: CallIds) -> set[str]:
        """Return the channels in bridges of other clients."""
        return {
            member for name, bridge in self.bridges.items() if ids.parse(name) is None for member in bridge.channels
        }


def reconcile(
    channels: Iterable[Channel],
    bridges: Iterable[Bridge],
    known: Iterable[KnownCall],
    ended_recently: Iterable[str],
    ids: CallIds,
    application: str,
) -> Reconciliation:
    """Compare Asterisk's lists with the calls of this relay.

    Args:
        channels: all channels of Asterisk.
        bridges: all bridges of Asterisk.
        known: calls known before the request of the lists or after their arrival.
        ended_recently: calls that ended in the last seconds: Asterisk may still list their deleted parts.
        ids: this relay's ids. Objects with other ids are ignored.
        application: the Stasis application of stranded callers.
    """
    by_id = {channel.id: channel for channel in channels}
    found = _Snapshot(
        by_id,
        {bridge.id: bridge for bridge in bridges},
        {parsed[0]: by_id[name] for name in by_id if (parsed := ids.parse(name)) and parsed[1] == "media"},
    )
    held = {call.call: call for call in known}
    ours = held.keys() | set(ended_recently)
    pairs = tuple(_pairs(found, ours, ids))
    taken = {pair.call for pair in pairs}
    elsewhere = found.foreign_members(ids)
    return Reconciliation(
        vanished=tuple(
            Vanished(call.call, part)
            for call in held.values()
            if (part := _vanished_part(call, found, ids, elsewhere, application)) is not None
        ),
        started=tuple(
            call
            for call, media in found.media.items()
            if media.application == application and call in held and held[call].stage != "settled"
        ),
        shared=tuple(call.call for call in held.values() if _is_shared(call, found, ids)),
        adopt=pairs,
        orphan_channels=tuple(media.id for call, media in found.media.items() if call not in ours | taken),
        orphan_bridges=tuple(
            name for name in found.bridges if (call := _bridge_call(name, ids)) and call not in ours | taken
        ),
        stranded=tuple(
            channel
            for channel in by_id.values()
            if channel.application == application
            and not is_media_of_any_relay(channel.id)
            and call_of(channel.id) not in ours | taken
            and channel.id not in elsewhere
        ),
    )


def _bridge_call(name: str, ids: CallIds) -> str | None:
    parsed = ids.parse(name)
    return parsed[0] if parsed and parsed[1] == "bridge" else None


def _pairs(found: _Snapshot, ours: set[str], ids: CallIds) -> Iterable[Pair]:
    for name, bridge in found.bridges.items():
        call = _bridge_call(name, ids)
        if call is None or call in ours or call not in found.media:
            continue
        media = found.media[call]
        port = port_of_name(media.name)
        callers = [member for member in bridge.channels if member in found.channels and call_of(member) == call]
        if port is not None and media.id in bridge.channels and len(callers) == 1:
            yield Pair(call, found.channels[callers[0]], port, shared=_has_a_third(bridge, callers[0], media.id))


def _has_a_third(bridge: Bridge, caller: str, media: str) -> bool:
    return not set(bridge.channels) <= {caller, media}


def _is_shared(call: KnownCall, found: _Snapshot, ids: CallIds) -> bool:
    bridge = found.bridges.get(ids.bridge(call.call))
    return bridge is not None and _has_a_third(bridge, call.caller, ids.media(call.call))


def _vanished_part(
    call: KnownCall, found: _Snapshot, ids: CallIds, elsewhere: set[str], application: str
) -> Part | None:
    if call.stage == "running":
        return None
    if call.caller not in found.channels:
        return "caller"
    if call.call not in found.media:
        return "media"
    bridge = found.bridges.get(ids.bridge(call.call))
    members = {call.caller, ids.media(call.call)} if call.stage == "settled" else set()
    if bridge is not None and members <= set(bridge.channels):
        return None
    if call.caller in elsewhere:
        return "place"
    return "bridge" if found.channels[call.caller].application == application else "caller"

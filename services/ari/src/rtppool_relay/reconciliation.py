"""What to do where Asterisk's channels and bridges differ from the calls that this relay knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rtppool_relay.ari_messages import Bridge, Channel
from rtppool_relay.call_ids import CallIds, call_of, is_media_of_any_relay, port_of_name


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A call that this relay holds. `settled`: it talked before the lists were asked for, and still does."""

    call: str
    caller: str
    settled: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A whole call found in Asterisk: the caller and our media channel, alone together in our bridge."""

    call: str
    caller: Channel
    port: int


@dataclass(frozen=True, slots=True)
class Vanished:
    """Of a call that is known, a part that Asterisk no longer has. `what` is `caller`, `media` or `bridge`."""

    call: str
    what: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What to do, in this order: end, delete channels, delete bridges, adopt, take stranded callers as new calls."""

    vanished: tuple[Vanished, ...] = ()
    orphan_channels: tuple[str, ...] = ()
    orphan_bridges: tuple[str, ...] = ()
    adopt: tuple[Pair, ...] = ()
    stranded: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    channels: Mapping[str, Channel]
    bridges: Mapping[str, Bridge]
    media: Mapping[str, Channel] = field(default_factory=dict)


def reconcile(
    channels: Iterable[Channel],
    bridges: Iterable[Bridge],
    known: Iterable[KnownCall],
    ended_lately: Iterable[str],
    ids: CallIds,
    application: str,
) -> Reconciliation:
    """Compare.

    Args:
        channels: all channels of Asterisk.
        bridges: all bridges of Asterisk.
        known: calls known before the lists were asked for or after they came.
        ended_lately: calls that ended in the last seconds: Asterisk may still list what was deleted.
        ids: this relay's ids; nothing else is touched.
        application: the Stasis application, to know stranded callers.
    """
    by_id = {channel.id: channel for channel in channels}
    found = _Found(
        by_id,
        {bridge.id: bridge for bridge in bridges},
        {parsed[0]: by_id[name] for name in by_id if (parsed := ids.parse(name)) and parsed[1] == "media"},
    )
    held = {call.call: call for call in known}
    ours = held.keys() | set(ended_lately)
    pairs = tuple(_pairs(found, ours, ids))
    taken = {pair.call for pair in pairs}
    return Reconciliation(
        vanished=tuple(gone for call in held.values() if (gone := _vanished(call, found, ids))),
        orphan_channels=tuple(media.id for call, media in found.media.items() if call not in ours | taken),
        orphan_bridges=tuple(
            name for name in found.bridges if (call := _bridge_call(name, ids)) and call not in ours | taken
        ),
        adopt=pairs,
        stranded=tuple(
            channel
            for channel in by_id.values()
            if channel.application == application
            and not is_media_of_any_relay(channel.id)
            and call_of(channel.id) not in ours | taken
        ),
    )


def _bridge_call(name: str, ids: CallIds) -> str | None:
    parsed = ids.parse(name)
    return parsed[0] if parsed and parsed[1] == "bridge" else None


def _pairs(found: _Found, ours: set[str], ids: CallIds) -> Iterable[Pair]:
    for name, bridge in found.bridges.items():
        call = _bridge_call(name, ids)
        if call is None or call in ours or call not in found.media:
            continue
        media = found.media[call]
        port = port_of_name(media.name)
        callers = [member for member in bridge.channels if member in found.channels and call_of(member) == call]
        if port is not None and media.id in bridge.channels and len(callers) == 1:
            yield Pair(call, found.channels[callers[0]], port)


def _vanished(call: KnownCall, found: _Found, ids: CallIds) -> Vanished | None:
    if not call.settled:
        # Its steps fail or time out by themselves; the lists may be older than its newest part.
        return None
    if call.caller not in found.channels:
        return Vanished(call.call, "caller")
    if call.call not in found.media:
        return Vanished(call.call, "media")
    bridge = found.bridges.get(ids.bridge(call.call))
    if bridge is None or not {call.caller, ids.media(call.call)} <= set(bridge.channels):
        return Vanished(call.call, "bridge")
    return None

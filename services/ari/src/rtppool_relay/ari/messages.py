"""Asterisk's JSON as types: channels, bridges and the events that affect a call.

Field names are those of the ARI models `Channel`, `Bridge` and `Message` of Asterisk 16 to 23.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rtppool_relay.ari.errors import AriFormatError

MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel and the Stasis application that it is in, or None.

    `media_address` and `media_port` are set in the answer to a POST that creates an externalMedia channel.
    """

    id: str
    name: str
    application: str | None = None
    caller_number: str = ""
    media_address: str | None = None
    media_port: str | None = None


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge and the ids of the channels in it."""

    id: str
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AsteriskInfo:
    """One run of Asterisk, identified by its `startup_time` as Asterisk writes it."""

    startup_time: str


@dataclass(frozen=True, slots=True)
class ChannelStarted:
    """`StasisStart`: the channel has entered the application."""

    channel: Channel
    application: str


@dataclass(frozen=True, slots=True)
class ChannelGone:
    """`StasisEnd` or `ChannelDestroyed`: the first of them ends the call."""

    channel: str


@dataclass(frozen=True, slots=True)
class BridgeGone:
    """`BridgeDestroyed`."""

    bridge: str


@dataclass(frozen=True, slots=True)
class EnteredBridge:
    """`ChannelEnteredBridge`."""

    bridge: str
    channel: str


@dataclass(frozen=True, slots=True)
class LeftBridge:
    """`ChannelLeftBridge`: at a hang-up, or where another client removes the channel."""

    bridge: str
    channel: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """`ApplicationReplaced`: another websocket registered the same application."""

    application: str


AriEvent = ChannelStarted | ChannelGone | BridgeGone | EnteredBridge | LeftBridge | Replaced


def parse_channel(document: Any) -> Channel:
    """Parse a channel.

    Raises:
        AriFormatError: it is no object, or lacks id or name.
    """
    fields = _object(document)
    variables = _inner(fields, "channelvars")
    dialplan = _inner(fields, "dialplan")
    application = None
    if dialplan.get("app_name") == "Stasis":
        application = str(dialplan.get("app_data", "")).split(",", 1)[0]
    return Channel(
        id=_text(fields, "id"),
        name=_text(fields, "name"),
        application=application,
        caller_number=str(_inner(fields, "caller").get("number", "")),
        media_address=_optional(variables, "UNICASTRTP_LOCAL_ADDRESS"),
        media_port=_optional(variables, "UNICASTRTP_LOCAL_PORT"),
    )


def parse_bridge(document: Any) -> Bridge:
    """Parse a bridge.

    Raises:
        AriFormatError: it is no object, or lacks the id.
    """
    fields = _object(document)
    channels = fields.get("channels", [])
    if not isinstance(channels, list):
        raise AriFormatError(f"a bridge's channels are {_shown(channels)}; expected a list")
    return Bridge(_text(fields, "id"), tuple(str(channel) for channel in channels))


def parse_asterisk_info(document: Any) -> AsteriskInfo:
    """Parse the answer to `GET /asterisk/info?only=status`.

    Raises:
        AriFormatError: it is no object, or lacks the time of the start.
    """
    return AsteriskInfo(_text(_inner(_object(document), "status"), "startup_time"))


def parse_event(text: str) -> AriEvent | None:
    """Parse a websocket message. Return None for events that do not affect a call.

    Raises:
        AriFormatError: it is no JSON object, or lacks a required field.
    """
    try:
        fields = _object(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        raise AriFormatError(f"an event is no JSON: {_shown(text)}") from error
    match fields.get("type"):
        case "StasisStart":
            return ChannelStarted(parse_channel(fields.get("channel")), _text(fields, "application"))
        case "StasisEnd" | "ChannelDestroyed":
            return ChannelGone(_id_of(fields, "channel"))
        case "BridgeDestroyed":
            return BridgeGone(_id_of(fields, "bridge"))
        case "ChannelEnteredBridge":
            return EnteredBridge(_id_of(fields, "bridge"), _id_of(fields, "channel"))
        case "ChannelLeftBridge":
            return LeftBridge(_id_of(fields, "bridge"), _id_of(fields, "channel"))
        case "ApplicationReplaced":
            return Replaced(_text(fields, "application"))
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AriFormatError(f"expected a JSON object, not {_shown(value)}")
    return value


def _inner(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def _id_of(fields: dict[str, Any], name: str) -> str:
    return _text(_object(fields.get(name)), "id")


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise AriFormatError(f"{name!r} is missing in {_shown(fields)}")
    return value


def _optional(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return str(value) if value else None

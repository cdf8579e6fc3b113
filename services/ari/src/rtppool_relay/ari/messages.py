"""Asterisk's JSON as types: channels, bridges and the events that affect a call.

Field names are those of the ARI models `Channel`, `Bridge` and `Message` of Asterisk 16 to 23.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from rtppool_relay.ari.bodies import parse_json
from rtppool_relay.ari.errors import AriFormatError
from rtppool_relay.caller_numbers import without_digits

MAX_SHOWN = 200
# A longer event is not a pressed key.
MAX_DIGIT_MILLISECONDS = 60_000
MAX_SHOWN_NAMES = 10
# Asterisk's ids have at most 149 characters, its channel names 79.
MAX_TEXT_CHARS = 512
_TYPE = re.compile(r'"type"\s*:\s*"([A-Za-z]{1,40})"', re.ASCII)


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel and the Stasis application that it is in, or None.

    `media_address` and `media_port` are set in the answer to a POST that creates an externalMedia channel. `name` is
    empty where Asterisk cannot describe the channel: it answers 200 without a body then. Without `has_dialplan` the
    answer does not say whether the channel is in an application.
    """

    id: str
    name: str
    application: str | None = None
    caller_number: str = field(default="", repr=False)
    media_address: str | None = None
    media_port: str | None = None
    has_dialplan: bool = True


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge and the ids of the channels in it."""

    id: str
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApplicationResource:
    """The channels and bridges that a Stasis application is subscribed to. It need not own them."""

    name: str
    channel_ids: tuple[str, ...] = ()
    bridge_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AsteriskInfo:
    """One run of Asterisk, identified by its `startup_time` as Asterisk writes it."""

    startup_time: str


@dataclass(frozen=True, slots=True)
class ChannelStarted:
    """`StasisStart`: the channel has entered the application.

    `replaces` is the channel whose place it takes, after an attended transfer into the application's bridge.
    """

    channel: Channel
    application: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelGone:
    """`StasisEnd` of the application, or `ChannelDestroyed` without one: the first of them ends the call."""

    channel: str
    application: str | None = None


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
class DigitEnded:
    """`ChannelDtmfReceived`: Asterisk consumed a telephone event of so many milliseconds. The digit is not kept."""

    channel: str
    duration_milliseconds: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """`ApplicationReplaced`: another websocket registered the same application."""

    application: str


AriEvent = ChannelStarted | ChannelGone | BridgeGone | EnteredBridge | LeftBridge | DigitEnded | Replaced


def parse_channel(document: Any) -> Channel:
    """Parse a channel.

    Raises:
        AriFormatError: it is no object, or lacks the id.
    """
    fields = _object(document)
    variables = _inner(fields, "channelvars")
    dialplan = _inner(fields, "dialplan")
    application = None
    if dialplan.get("app_name") == "Stasis":
        application = (_optional(dialplan, "app_data") or "").split(",", 1)[0]
    return Channel(
        id=_text(fields, "id"),
        name=_optional(fields, "name") or "",
        application=application,
        caller_number=_optional(_inner(fields, "caller"), "number") or "",
        media_address=_optional(variables, "UNICASTRTP_LOCAL_ADDRESS"),
        media_port=_optional(variables, "UNICASTRTP_LOCAL_PORT"),
        has_dialplan="app_name" in dialplan,
    )


def parse_bridge(document: Any) -> Bridge:
    """Parse a bridge.

    Raises:
        AriFormatError: it is no object, or lacks the id.
    """
    fields = _object(document)
    return Bridge(_text(fields, "id"), _texts(fields, "channels"))


def parse_application(document: Any) -> ApplicationResource:
    """Parse the answer to `GET /applications/<name>`.

    Raises:
        AriFormatError: it is no object, or lacks a list.
    """
    fields = _object(document)
    return ApplicationResource(_text(fields, "name"), _texts(fields, "channel_ids"), _texts(fields, "bridge_ids"))


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
        fields = _object(parse_json(text))
    except AriFormatError as error:
        # Its text is not shown: it may hold the caller's name and number.
        found = _TYPE.search(text)
        kind = found[1] if found else "unknown"
        raise AriFormatError(f"an event of type {kind} with {len(text)} characters is {error}") from error
    match fields.get("type"):
        case "StasisStart":
            replaced = _optional(_inner(fields, "replace_channel"), "id")
            return ChannelStarted(parse_channel(fields.get("channel")), _text(fields, "application"), replaced)
        case "StasisEnd":
            return ChannelGone(_id_of(fields, "channel"), _optional(fields, "application"))
        case "ChannelDestroyed":
            return ChannelGone(_id_of(fields, "channel"))
        case "BridgeDestroyed":
            return BridgeGone(_id_of(fields, "bridge"))
        case "ChannelEnteredBridge":
            return EnteredBridge(_id_of(fields, "bridge"), _id_of(fields, "channel"))
        case "ChannelLeftBridge":
            return LeftBridge(_id_of(fields, "bridge"), _id_of(fields, "channel"))
        case "ChannelDtmfReceived":
            return DigitEnded(_id_of(fields, "channel"), _milliseconds(fields, "duration_ms"))
        case "ApplicationReplaced":
            return Replaced(_text(fields, "application"))
    return None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(without_digits(value[:MAX_SHOWN]))
    if isinstance(value, dict):
        return f"an object with {sorted(value)[:MAX_SHOWN_NAMES]}"[:MAX_SHOWN]
    return f"{type(value).__name__}"


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
    """Return a text that identifies an object. It is sent back to Asterisk, so it must be complete and encodable."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise AriFormatError(f"{name!r} is missing in {_shown(fields)}")
    if not is_identifier(value):
        raise AriFormatError(f"{name!r} is {_shown(value)}; accepted are {MAX_TEXT_CHARS} characters of Unicode")
    return value


def _texts(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    values = fields.get(name)
    if not isinstance(values, list):
        raise AriFormatError(f"{name!r} is {_shown(values)} in {_shown(fields)}; expected a list")
    return tuple(value for value in values if isinstance(value, str) and value and is_identifier(value))


def _milliseconds(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    return min(max(value, 0), MAX_DIGIT_MILLISECONDS) if isinstance(value, int) else 0


def _optional(fields: dict[str, Any], name: str) -> str | None:
    """Return the beginning of a text that is only shown or compared, or None where there is none."""
    value = fields.get(name)
    if not isinstance(value, (str, int)) or not value:
        return None
    return encodable(str(value)[:MAX_TEXT_CHARS])


def is_identifier(text: str) -> bool:
    """Return whether a text can be an id in Asterisk: Unicode of a length that Asterisk accepts."""
    return len(text) <= MAX_TEXT_CHARS and encodable(text) == text


def encodable(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()

"""The part of Asterisk that ARI exposes, without I/O: channels, bridges, Stasis applications, and their events.

Answers, statuses and the order of events are those of Asterisk 22.10: `tests/contract` runs the same assertions against
both. Errors carry the HTTP status of Asterisk's answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ASTERISK_ID = "02:00:00:00:00:01"
# AST_MAX_PUBLIC_UNIQUEID
MAX_ID = 149


class SwitchboardError(Exception):
    """Asterisk refuses a request with the HTTP status `status`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Channel:
    """A channel. `application` is None while its dialplan runs. `peer_host` is set for externalMedia (`ADDRESS:PORT`).

    `entering` is the application of a channel that has not entered it yet, and already gets its events. `stasis_data`
    is the application that the dialplan named: after a move it is still the old one. `is_odd`: a text of the channel is
    no UTF-8, so that Asterisk cannot describe it in JSON, and sends no event of it.
    """

    id: str
    name: str
    state: str
    created: str
    caller_number: str = ""
    application: str | None = None
    peer_host: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    entering: str | None = None
    stasis_data: str | None = None
    is_odd: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the ARI model `Channel`."""
        in_stasis = self.application is not None
        document: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "protocol_id": self.variables.get("CHANNEL(pjsip,call-id)", ""),
            "caller": {"name": "", "number": self.caller_number},
            "connected": {"name": "", "number": ""},
            "accountcode": "",
            "dialplan": {
                "context": "default",
                "exten": "s",
                "priority": 1,
                "app_name": "Stasis" if in_stasis else "Wait",
                "app_data": (self.stasis_data or self.application or "") if in_stasis else "",
            },
            "creationtime": self.created,
            "language": "en",
        }
        shown = {name: value for name, value in self.variables.items() if name.startswith("UNICASTRTP_")}
        return document | ({"channelvars": shown} if shown else {})


@dataclass(slots=True)
class Bridge:
    """A mixing bridge."""

    id: str
    created: str
    channels: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the ARI model `Bridge`."""
        return {
            "id": self.id,
            "technology": "simple_bridge" if len(self.channels) <= 2 else "softmix",  # noqa: PLR2004 a pair
            "bridge_type": "mixing",
            "bridge_class": "stasis",
            "creator": "Stasis",
            "name": "",
            "channels": list(self.channels),
            "creationtime": self.created,
            "video_mode": "talker",
        }


Emit = Callable[[set[str], dict[str, Any]], None]


class Switchboard:
    """All channels, bridges and applications. `emit` is called with the names of applications and an event.

    `variables` are Asterisk's global ones (the dialplan's `GLOBAL()`). `started` is its start time.
    """

    def __init__(self, emit: Emit) -> None:
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.variables: dict[str, str] = {}
        self.started = _now()
        self._emit = emit
        self._applications: set[str] = set()
        # Changes of subscriptions by clients, as (application, channel).
        self._subscribed: set[tuple[str, str]] = set()
        self._unsubscribed: set[tuple[str, str]] = set()
        self._names = 0

    def register(self, application: str) -> None:
        """Register an application whose websocket has opened. An older websocket gets `ApplicationReplaced`."""
        if application in self._applications:
            self._emit_event({application}, "ApplicationReplaced", application=application)
        self._applications.add(application)

    def unregister(self, application: str) -> None:
        """Unregister an application whose websocket has closed."""
        self._applications.discard(application)

    def is_registered(self, application: str) -> bool:
        """Return whether a websocket serves an application."""
        return application in self._applications

    def application(self, name: str) -> dict[str, Any]:
        """Return the ARI model `Application`. Its lists are subscriptions.

        Raises:
            SwitchboardError: it is not registered.
        """
        if name not in self._applications:
            raise SwitchboardError(404, "Application not found")
        return {
            "name": name,
            "channel_ids": [channel.id for channel in self.channels.values() if name in self._subscribers(channel)],
            "bridge_ids": list(self.bridges),
            "endpoint_ids": [],
            "device_names": [],
            "events_allowed": [],
            "events_disallowed": [],
        }

    def applications(self) -> list[dict[str, Any]]:
        """Return all registered applications."""
        return [self.application(name) for name in sorted(self._applications)]

    def subscribe(self, application: str, channel: str) -> dict[str, Any]:
        """Handle `POST /applications/{application}/subscription` with a channel."""
        self.application(application)
        self._subscribed.add((application, self.channel(channel).id))
        self._unsubscribed.discard((application, channel))
        return self.application(application)

    def unsubscribe(self, application: str, channel: str) -> dict[str, Any]:
        """Handle `DELETE /applications/{application}/subscription` with a channel."""
        self.application(application)
        self._unsubscribed.add((application, self.channel(channel).id))
        self._subscribed.discard((application, channel))
        return self.application(application)

    def channel(self, channel: str) -> Channel:
        """Return a channel.

        Raises:
            SwitchboardError: there is none with this id.
        """
        if channel not in self.channels:
            raise SwitchboardError(404, "Channel not found")
        return self.channels[channel]

    def bridge(self, bridge: str) -> Bridge:
        """Return a bridge.

        Raises:
            SwitchboardError: there is none with this id.
        """
        if bridge not in self.bridges:
            raise SwitchboardError(404, "Bridge not found")
        return self.bridges[bridge]

    def arrive(
        self,
        channel: str,
        name: str,
        application: str | None,
        number: str,
        variables: dict[str, str],
        *,
        is_odd: bool = False,
    ) -> Channel:
        """Add a caller whose dialplan runs `Stasis(application)`, or another application of the dialplan.

        Raises:
            SwitchboardError: the application is not registered. The dialplan continues with `STASISSTATUS=FAILED`.
        """
        if application is not None and application not in self._applications:
            raise SwitchboardError(404, f"Stasis application {application!r} is not registered")
        leg = Channel(channel, f"{name}-{self._next_name():08x}", "Ring", _now(), number, None, None, dict(variables))
        leg.is_odd = is_odd
        self.channels[channel] = leg
        if application is not None:
            leg.stasis_data = application
            self._enter_application(leg, application)
        return leg

    def move(self, channel: str, application: str) -> None:
        """Handle `POST /channels/{id}/move`: the channel stays in its bridge, and its dialplan still names the old one.

        Raises:
            SwitchboardError: it is in no application, or the other one is not registered.
        """
        leg = self._in_application(channel, 409)
        if application not in self._applications:
            raise SwitchboardError(404, "Stasis application not registered")
        self._leave(leg)
        self._enter_application(leg, application)

    def replace(self, channel: str, by: str) -> None:
        """Put a new channel into a channel's place in bridge and application, as an attended transfer does."""
        old = self._in_application(channel, 409)
        leg = Channel(by, f"PJSIP/standin-{self._next_name():08x}", "Up", _now(), variables=dict(old.variables))
        leg.stasis_data = old.stasis_data
        self.channels[by] = leg
        self._enter_application(leg, str(old.application), replace_channel=old.to_json())
        for bridge in self.bridges.values():
            if channel in bridge.channels:
                self.add_to_bridge(bridge.id, [by])
        self.hang_up(channel)

    def create_media(
        self,
        channel: str,
        application: str,
        peer_host: str,
        media_format: str,
        local: tuple[str, int],
        *,
        starts_at_once: bool = True,
    ) -> dict[str, Any]:
        """Handle `POST /channels/externalMedia`. Returns the snapshot from before the channel is up.

        The channel enters the application at once, or with `start_media`: Asterisk dials it in a thread of its own.

        Raises:
            SwitchboardError: Asterisk would refuse it.
        """
        if not application or not media_format:
            raise SwitchboardError(400, "app and format must be specified")
        if len(channel) > MAX_ID:
            raise SwitchboardError(400, "Channel ID is too long")
        if channel in self.channels:
            raise SwitchboardError(500, "An internal error prevented this request from being handled")
        name = f"UnicastRTP/{peer_host}-{self._next_name():#014x}"
        leg = Channel(channel, name, "Down", _now(), peer_host=peer_host, entering=application)
        leg.stasis_data = application
        leg.variables |= {"UNICASTRTP_LOCAL_ADDRESS": local[0], "UNICASTRTP_LOCAL_PORT": str(local[1])}
        self.channels[channel] = leg
        snapshot = leg.to_json()
        if starts_at_once:
            self.start_media(channel)
        return snapshot

    def start_media(self, channel: str) -> None:
        """Move a media channel that still exists into its application."""
        leg = self.channels.get(channel)
        if leg is not None and leg.entering is not None:
            leg.state = "Up"
            self._enter_application(leg, leg.entering)

    def answer(self, channel: str) -> None:
        """Handle `POST /channels/{id}/answer`."""
        leg = self._in_application(channel, 409)
        if leg.state != "Up":
            leg.state = "Up"
            self._emit_event(self._subscribers(leg), "ChannelStateChange", leg)

    def leave_application(self, channel: str) -> Channel:
        """Handle `POST /channels/{id}/continue`: the caller returns to the dialplan."""
        leg = self._in_application(channel, 409)
        self._leave_bridges(leg)
        self._leave(leg)
        return leg

    def set_variable(self, channel: str, name: str, value: str) -> None:
        """Handle `POST /channels/{id}/variable`."""
        leg = self.channel(channel)
        leg.variables[name] = value
        self._emit_event(self._subscribers(leg), "ChannelVarset", leg, variable=name, value=value)

    def end_in_dialplan(self, channel: str) -> Channel:
        """End a channel outside of any application. Returns its last state."""
        leg = self.channels.pop(channel)
        self._destroy(leg, self._subscribers(leg))
        return leg

    def hang_up(self, channel: str) -> None:
        """End a channel: `DELETE /channels/{id}`, or its caller hung up."""
        leg = self.channel(channel)
        subscribers = self._subscribers(leg)
        self._emit_event(subscribers, "ChannelHangupRequest", leg)
        self._leave_bridges(leg)
        if leg.application is not None:
            self._leave(leg)
        del self.channels[channel]
        self._destroy(leg, subscribers)

    def press_key(self, channel: str, digit: str, milliseconds: int) -> None:
        """End a digit of a caller, whose events Asterisk consumes."""
        leg = self.channel(channel)
        self._emit_event(self._subscribers(leg), "ChannelDtmfReceived", leg, digit=digit, duration_ms=milliseconds)

    def create_bridge(self, bridge: str) -> dict[str, Any]:
        """Handle `POST /bridges`."""
        if bridge in self.bridges:
            raise SwitchboardError(409, f"Bridge with id '{bridge}' already exists")
        self.bridges[bridge] = Bridge(bridge, _now())
        return self.bridges[bridge].to_json()

    def delete_bridge(self, bridge: str) -> None:
        """Handle `DELETE /bridges/{id}`. Applications get an event for each member, and none for the bridge."""
        found = self.bridge(bridge)
        for leg in list(found.channels):
            self._leave_bridges(self.channels[leg])
        del self.bridges[bridge]

    def add_to_bridge(self, bridge: str, channels: list[str]) -> None:
        """Handle `POST /bridges/{id}/addChannel`: all channels or none."""
        found = self.bridge(bridge)
        if any(channel not in self.channels for channel in channels):
            raise SwitchboardError(400, "Channel not found")
        legs = [self._in_application(channel, 422) for channel in channels]
        for leg in legs:
            if leg.id not in found.channels:
                self._leave_bridges(leg)
                found.channels.append(leg.id)
                self._emit_event(self._subscribers(leg), "ChannelEnteredBridge", leg, bridge=found.to_json())

    def remove_from_bridge(self, bridge: str, channel: str) -> None:
        """Handle `POST /bridges/{id}/removeChannel`: the channel stays in its application.

        Raises:
            SwitchboardError: there is no such bridge, or the channel is not in it.
        """
        if channel not in self.bridge(bridge).channels:
            raise SwitchboardError(422, "Channel not in this bridge")
        self._leave_bridges(self.channel(channel))

    def bridged_with(self, channel: str) -> list[Channel]:
        """Return the other channels in the bridge of a channel."""
        for bridge in self.bridges.values():
            if channel in bridge.channels:
                return [self.channels[other] for other in bridge.channels if other != channel]
        return []

    def _in_application(self, channel: str, otherwise: int) -> Channel:
        leg = self.channel(channel)
        if leg.application is None:
            raise SwitchboardError(otherwise, "Channel not in Stasis application")
        return leg

    def _enter_application(self, leg: Channel, application: str, **fields: Any) -> None:
        leg.application, leg.entering = application, None
        self._emit_event({application}, "StasisStart", leg, application=application, args=[], **fields)

    def _leave(self, leg: Channel) -> None:
        application, leg.application = str(leg.application), None
        self._emit_event({application}, "StasisEnd", leg, application=application)

    def _destroy(self, leg: Channel, subscribers: set[str]) -> None:
        self._emit_event(subscribers, "ChannelDestroyed", leg, cause=16, cause_txt="Normal Clearing")
        self._subscribed = {pair for pair in self._subscribed if pair[1] != leg.id}
        self._unsubscribed = {pair for pair in self._unsubscribed if pair[1] != leg.id}

    def _subscribers(self, leg: Channel) -> set[str]:
        own = {name for name in (leg.application, leg.entering) if name is not None}
        return {
            name
            for name in own | {application for application, channel in self._subscribed if channel == leg.id}
            if (name, leg.id) not in self._unsubscribed
        }

    def _leave_bridges(self, leg: Channel) -> None:
        for bridge in self.bridges.values():
            if leg.id in bridge.channels:
                bridge.channels.remove(leg.id)
                self._emit_event(self._subscribers(leg), "ChannelLeftBridge", leg, bridge=bridge.to_json())

    def _emit_event(self, to: set[str], kind: str, leg: Channel | None = None, **fields: Any) -> None:
        """Emit an event. One of an odd channel is lost. Without an application it reaches subscribers to all only."""
        if leg is not None and leg.is_odd:
            return
        channel = {} if leg is None else {"channel": leg.to_json()}
        self._emit(to, {"type": kind, "timestamp": _now(), "asterisk_id": ASTERISK_ID} | channel | fields)

    def _next_name(self) -> int:
        self._names += 1
        return self._names


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")

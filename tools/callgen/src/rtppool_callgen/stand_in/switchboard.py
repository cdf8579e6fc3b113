"""The part of Asterisk that ARI shows: channels, bridges and Stasis applications, and the events they cause. No I/O.

Answers, statuses and the order of events are those seen on Asterisk 22.10 (`tests/contract` holds both to the same
assertions). Errors carry the HTTP status that Asterisk answers.
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
    """A request that Asterisk refuses; `status` is what it answers."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Channel:
    """A leg. `application` is None while its dialplan runs; `peer_host` is set for externalMedia (`ADDRESS:PORT`).

    `heard_by` is the application that hears of a leg which is on its way into it.
    """

    id: str
    name: str
    state: str
    created: str
    caller_number: str = ""
    application: str | None = None
    peer_host: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    heard_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The ARI model `Channel`."""
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
                "app_data": self.application or "",
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
        """The ARI model `Bridge`."""
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


Emit = Callable[[str | None, dict[str, Any]], None]


class Switchboard:
    """All channels, bridges and applications. `emit` is called with an application's name and an event for it.

    `variables` are those of Asterisk itself (the dialplan's `GLOBAL()`), `started` is when this run of it began.
    """

    def __init__(self, emit: Emit) -> None:
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.variables: dict[str, str] = {}
        self.started = _now()
        self._emit = emit
        self._applications: set[str] = set()
        self._names = 0

    def register(self, application: str) -> None:
        """A websocket opened for this application; the one before it is told that it was replaced."""
        if application in self._applications:
            self._tell(application, "ApplicationReplaced", application=application)
        self._applications.add(application)

    def unregister(self, application: str) -> None:
        """The application's websocket closed."""
        self._applications.discard(application)

    def is_registered(self, application: str) -> bool:
        """Whether a websocket serves this application."""
        return application in self._applications

    def application(self, name: str) -> dict[str, Any]:
        """The ARI model `Application`.

        Raises:
            SwitchboardError: nobody registered it.
        """
        if name not in self._applications:
            raise SwitchboardError(404, "Application not found")
        return {
            "name": name,
            "channel_ids": [channel.id for channel in self.channels.values() if channel.application == name],
            "bridge_ids": list(self.bridges),
            "endpoint_ids": [],
            "device_names": [],
            "events_allowed": [],
            "events_disallowed": [],
        }

    def channel(self, channel: str) -> Channel:
        """A channel.

        Raises:
            SwitchboardError: there is none of this id.
        """
        if channel not in self.channels:
            raise SwitchboardError(404, "Channel not found")
        return self.channels[channel]

    def bridge(self, bridge: str) -> Bridge:
        """A bridge.

        Raises:
            SwitchboardError: there is none of this id.
        """
        if bridge not in self.bridges:
            raise SwitchboardError(404, "Bridge not found")
        return self.bridges[bridge]

    def arrive(self, channel: str, name: str, application: str, number: str, variables: dict[str, str]) -> Channel:
        """A caller whose dialplan runs `Stasis(application)`.

        Raises:
            SwitchboardError: the application is not registered; the dialplan goes on with `STASISSTATUS=FAILED`.
        """
        if application not in self._applications:
            raise SwitchboardError(404, f"Stasis application {application!r} is not registered")
        leg = Channel(channel, f"{name}-{self._next_name():08x}", "Ring", _now(), number, None, None, dict(variables))
        self.channels[channel] = leg
        self._enter_application(leg, application)
        return leg

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
        """`POST /channels/externalMedia`; returns the snapshot taken before the channel is up.

        It is in the application at once, or with `start_media`: Asterisk dials it in a thread of its own.

        Raises:
            SwitchboardError: as Asterisk refuses it.
        """
        if not application or not media_format:
            raise SwitchboardError(400, "app and format must be specified")
        if len(channel) > MAX_ID:
            raise SwitchboardError(400, "Channel ID is too long")
        if channel in self.channels:
            raise SwitchboardError(500, "An internal error prevented this request from being handled")
        name = f"UnicastRTP/{peer_host}-{self._next_name():#014x}"
        leg = Channel(channel, name, "Down", _now(), peer_host=peer_host, heard_by=application)
        leg.variables |= {"UNICASTRTP_LOCAL_ADDRESS": local[0], "UNICASTRTP_LOCAL_PORT": str(local[1])}
        self.channels[channel] = leg
        snapshot = leg.to_json()
        if starts_at_once:
            self.start_media(channel)
        return snapshot

    def start_media(self, channel: str) -> None:
        """The media channel is up and in its application, if it is still there."""
        leg = self.channels.get(channel)
        if leg is not None and leg.heard_by is not None:
            leg.state = "Up"
            self._enter_application(leg, leg.heard_by)

    def answer(self, channel: str) -> None:
        """`POST /channels/{id}/answer`."""
        leg = self._in_application(channel, 409)
        if leg.state != "Up":
            leg.state = "Up"
            self._tell(leg.application, "ChannelStateChange", channel=leg.to_json())

    def leave_application(self, channel: str) -> Channel:
        """`POST /channels/{id}/continue`: the caller is in the dialplan again."""
        leg = self._in_application(channel, 409)
        self._leave_bridges(leg)
        self._tell(leg.application, "StasisEnd", channel=leg.to_json())
        leg.application = None
        return leg

    def set_variable(self, channel: str, name: str, value: str) -> None:
        """`POST /channels/{id}/variable`."""
        leg = self.channel(channel)
        leg.variables[name] = value
        self._tell(leg.application, "ChannelVarset", variable=name, value=value, channel=leg.to_json())

    def end_in_dialplan(self, channel: str) -> Channel:
        """The leg ends where no application hears of it; returns what it was."""
        leg = self.channels.pop(channel)
        self._tell(None, "ChannelDestroyed", channel=leg.to_json(), cause=16, cause_txt="Normal Clearing")
        return leg

    def hang_up(self, channel: str) -> None:
        """The leg ends: `DELETE /channels/{id}`, or its caller hung up."""
        leg = self.channel(channel)
        application = leg.application or leg.heard_by
        self._tell(application, "ChannelHangupRequest", channel=leg.to_json())
        self._leave_bridges(leg)
        self._tell(leg.application, "StasisEnd", channel=leg.to_json())
        del self.channels[channel]
        self._tell(application, "ChannelDestroyed", channel=leg.to_json(), cause=16, cause_txt="Normal Clearing")

    def create_bridge(self, bridge: str) -> dict[str, Any]:
        """`POST /bridges`."""
        if bridge in self.bridges:
            raise SwitchboardError(409, f"Bridge with id '{bridge}' already exists")
        self.bridges[bridge] = Bridge(bridge, _now())
        return self.bridges[bridge].to_json()

    def delete_bridge(self, bridge: str) -> None:
        """`DELETE /bridges/{id}`. Its members' applications hear that they left it, and nothing of its end."""
        found = self.bridge(bridge)
        for leg in list(found.channels):
            self._leave_bridges(self.channels[leg])
        del self.bridges[bridge]

    def add_to_bridge(self, bridge: str, channels: list[str]) -> None:
        """`POST /bridges/{id}/addChannel`: all or none."""
        found = self.bridge(bridge)
        if any(channel not in self.channels for channel in channels):
            raise SwitchboardError(400, "Channel not found")
        legs = [self._in_application(channel, 422) for channel in channels]
        for leg in legs:
            if leg.id not in found.channels:
                self._leave_bridges(leg)
                found.channels.append(leg.id)
                fields = {"bridge": found.to_json(), "channel": leg.to_json()}
                self._tell(leg.application, "ChannelEnteredBridge", **fields)

    def remove_from_bridge(self, bridge: str, channel: str) -> None:
        """`POST /bridges/{id}/removeChannel`: it stays in its application.

        Raises:
            SwitchboardError: there is no such bridge, or the channel is not in it.
        """
        if channel not in self.bridge(bridge).channels:
            raise SwitchboardError(422, "Channel not in this bridge")
        self._leave_bridges(self.channel(channel))

    def bridged_with(self, channel: str) -> list[Channel]:
        """The other legs of the bridge that a leg is in."""
        for bridge in self.bridges.values():
            if channel in bridge.channels:
                return [self.channels[other] for other in bridge.channels if other != channel]
        return []

    def _in_application(self, channel: str, otherwise: int) -> Channel:
        leg = self.channel(channel)
        if leg.application is None:
            raise SwitchboardError(otherwise, "Channel not in Stasis application")
        return leg

    def _enter_application(self, leg: Channel, application: str) -> None:
        leg.application, leg.heard_by = application, None
        self._tell(application, "StasisStart", channel=leg.to_json(), args=[])

    def _leave_bridges(self, leg: Channel) -> None:
        for bridge in self.bridges.values():
            if leg.id in bridge.channels:
                bridge.channels.remove(leg.id)
                fields = {"bridge": bridge.to_json(), "channel": leg.to_json()}
                self._tell(leg.application, "ChannelLeftBridge", **fields)

    def _tell(self, to: str | None, kind: str, **fields: Any) -> None:
        """None: of interest to those only who hear all."""
        self._emit(to, {"type": kind, "timestamp": _now(), "asterisk_id": ASTERISK_ID} | fields)

    def _next_name(self) -> int:
        self._names += 1
        return self._names


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")

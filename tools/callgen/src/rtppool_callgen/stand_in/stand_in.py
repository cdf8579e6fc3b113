"""The Asterisk stand-in: switchboard, ARI over HTTP, and callers with real RTP."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from aiohttp import web

from rtppool_callgen.stand_in.ari_server import EventHub, Interfere, make_ari, no_interference
from rtppool_callgen.stand_in.media_legs import Player
from rtppool_callgen.stand_in.rtp_player import RtpPlayer
from rtppool_callgen.stand_in.switchboard import Channel, Switchboard, SwitchboardError
from rtppool_core.net.http_endpoints import listen
from rtppool_core.net.udp import host_port
from rtppool_core.statistics.histogram import Histogram

CALLER_PREFIX = "standin-"
ENDED_CALLS = 1000
# Longer than the delivery of a reply.
START_AFTER_REPLY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call at its end, from the caller's side.

    `refused` is `RTP_RELAY_REFUSED` and `given_back` is `RTP_RELAY_ENDED`. The relay sets them before `continue`.
    """

    channel: str
    sent: int
    returned: int
    refused: str | None
    answered: bool = False
    given_back: str | None = None
    round_trips: Histogram | None = None


@dataclass(frozen=True, slots=True)
class _Counts:
    sent: int = 0
    returned: int = 0
    round_trips: Histogram | None = None


class StandIn:
    """Use as `async with`. `port` 0 selects a free port, which `url` contains.

    Without a `player` RTP comes from this process. With `tls` ARI is served over TLS only. Tests of faults set two
    attributes: `interfere` is called around every request. With `start_after_reply` the StasisStart of a media channel
    follows the reply of the request that created it. With `read_only` the user may not write.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        password: str,
        player: Player | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._tls = tls
        self.hub = EventHub()
        self.switchboard = Switchboard(self.hub.emit)
        self.player: Player = player if player is not None else RtpPlayer()
        self.ended: deque[EndedCall] = deque(maxlen=ENDED_CALLS)
        self.on_end: Callable[[EndedCall], None] = lambda _call: None
        self.interfere: Interfere = no_interference
        self.start_after_reply = False
        self.read_only = False
        self._runner: web.AppRunner | None = None
        self._media_of: dict[str, str] = {}
        self._counts: dict[str, _Counts] = {}
        self._calls = 0

    @property
    def url(self) -> str:
        """The value for `ARI_URL`."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{host_port(self._host, self._port)}/ari"

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            ListenError: the port is taken.
        """
        await self.player.__aenter__()
        app = make_ari(self.switchboard, self.hub, self, self._user, lambda: self._password, self._interfere)
        try:
            tls = self._tls
            context = (lambda: tls) if tls is not None else None
            self._runner, self._port = await listen(app, self._host, self._port, context, bounded=False)
        except BaseException:
            await self.player.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the listener and all sockets."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self.player.__aexit__()

    def place_call(
        self, application: str | None, number: str = "1000", *, sip_call_id: str | None = None, is_odd: bool = False
    ) -> str:
        """Let a SIP caller arrive in an application, or elsewhere in the dialplan. Returns its channel id.

        `sip_call_id` is the caller's Call-ID, by default one with a running number. `is_odd`: it has a byte that is no
        UTF-8.

        Raises:
            SwitchboardError: the application is not registered.
        """
        self._calls += 1
        channel = f"{CALLER_PREFIX}{self._calls}"
        variables = {"CHANNEL(pjsip,call-id)": sip_call_id or f"call-{self._calls}@{self._host}"}
        self.switchboard.arrive(channel, "PJSIP/standin", application, number, variables, is_odd=is_odd)
        return channel

    def callers(self) -> list[str]:
        """Return the channels of active callers."""
        return [channel for channel in self.switchboard.channels if channel.startswith(CALLER_PREFIX)]

    def packets(self, caller: str) -> tuple[int, int]:
        """Return how many packets a caller sent, and how many came back."""
        counts = self._counts_of(caller)
        return counts.sent, counts.returned

    def hang_up(self, channel: str) -> None:
        """See `Legs.hang_up`. A caller ends its call in the same way."""
        leg = self.switchboard.channel(channel)
        if leg.peer_host is not None:
            self._keep_counts(channel)
            self.player.close(channel)
        elif channel in self._media_of:
            self.player.pause(self._media_of[channel])
        self.switchboard.hang_up(channel)
        if leg.peer_host is None:
            self._end(leg)

    def create_media(self, channel: str, application: str, external_host: str, media_format: str) -> dict[str, Any]:
        """See `Legs.create_media`."""
        if channel in self.switchboard.channels:
            raise SwitchboardError(500, "An internal error prevented this request from being handled")
        leg = self.player.open(channel, _peer(external_host))
        try:
            snapshot = self.switchboard.create_media(
                channel,
                application,
                external_host,
                media_format,
                leg.local,
                starts_at_once=not self.start_after_reply,
            )
        except SwitchboardError:
            self.player.close(channel)
            raise
        if self.start_after_reply:
            loop = asyncio.get_running_loop()
            loop.call_later(START_AFTER_REPLY_SECONDS, self.switchboard.start_media, channel)
        return snapshot

    def on_bridged(self, channels: list[str]) -> None:
        """See `Legs.on_bridged`: the media channel that shares a caller's bridge plays its stream."""
        for channel in channels:
            leg = self.switchboard.channels[channel]
            callers = [other for other in self.switchboard.bridged_with(channel) if other.peer_host is None]
            if leg.peer_host is not None and callers:
                self._media_of[callers[0].id] = channel
                self.player.play(channel)

    def on_continued(self, channel: str) -> None:
        """See `Legs.on_continued`: this dialplan hangs up after `Stasis()`."""
        if channel in self._media_of:
            self.player.pause(self._media_of[channel])
        self._end(self.switchboard.end_in_dialplan(channel))

    def originate(self, channel: str, application: str) -> dict[str, Any]:
        """See `Legs.originate`."""
        return self.switchboard.arrive(channel, "Local/s@default", application, "", {}).to_json()

    def _counts_of(self, caller: str) -> _Counts:
        leg = self.player.leg(self._media_of.get(caller, ""))
        return self._counts.get(caller, _Counts()) if leg is None else _Counts(leg.sent, leg.returned, leg.round_trips)

    async def _interfere(self, method: str, path: str, moment: Literal["before", "after"]) -> None:
        if self.read_only and method != "GET":
            raise SwitchboardError(403, "Write access denied")
        await self.interfere(method, path, moment)

    def _keep_counts(self, media: str) -> None:
        for caller, channel in list(self._media_of.items()):
            if channel == media:
                self._counts[caller] = self._counts_of(caller)
                del self._media_of[caller]

    def _end(self, leg: Channel) -> None:
        counts = self._counts_of(leg.id)
        self._media_of.pop(leg.id, None)
        self._counts.pop(leg.id, None)
        call = EndedCall(
            leg.id,
            counts.sent,
            counts.returned,
            leg.variables.get("RTP_RELAY_REFUSED"),
            leg.state == "Up",
            leg.variables.get("RTP_RELAY_ENDED"),
            counts.round_trips,
        )
        self.ended.append(call)
        self.on_end(call)


def _peer(external_host: str) -> tuple[str, int]:
    host, _, port = external_host.rpartition(":")
    if not host or not port.isdecimal():
        raise SwitchboardError(400, "external_host must be <host>:<port>")
    return host.strip("[]"), int(port)

"""What the calls need of Asterisk's REST interface.

The call life cycle knows only this protocol; `ari_http` is the one implementation that talks to an Asterisk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from rtppool_relay.ari.errors import AriError
from rtppool_relay.ari.messages import AsteriskInfo, Bridge, Channel, Event


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Where Asterisk sends and receives a media channel's RTP (`UNICASTRTP_LOCAL_ADDRESS` and `…_PORT`)."""

    address: str
    port: int


class AriClient(Protocol):
    """One Asterisk. Every method may raise an `AriError`; every request may be repeated, because all ids are chosen."""

    async def asterisk_info(self) -> AsteriskInfo:
        """When this run of Asterisk began."""

    async def global_variable(self, name: str) -> str | None:
        """A variable of Asterisk itself, of no channel; None where it is not set. It ends with the run of Asterisk."""

    async def set_global_variable(self, name: str, value: str) -> None:
        """Set a variable of Asterisk itself."""

    async def clear_global_variable(self, name: str) -> None:
        """Take a variable of Asterisk itself away; fine when it is not set."""

    async def channels(self) -> list[Channel]:
        """All channels."""

    async def bridges(self) -> list[Bridge]:
        """All bridges."""

    async def application_exists(self, application: str) -> bool:
        """Whether Asterisk knows the Stasis application: a websocket, a channel or a bridge holds it."""

    async def answer(self, channel: str) -> None:
        """Answer a caller."""

    async def create_bridge(self, bridge: str) -> None:
        """Make a mixing bridge with this id; fine when it exists."""

    async def create_media(self, channel: str, application: str, external_host: str, media_format: str) -> Channel:
        """Make an externalMedia channel with this id that sends RTP to `external_host` (`ADDRESS:PORT`)."""

    async def variable(self, channel: str, name: str) -> str | None:
        """A channel variable or function; None where it is not set or can't be read."""

    async def set_variable(self, channel: str, name: str, value: str) -> None:
        """Set a channel variable, for the dialplan."""

    async def continue_in_dialplan(self, channel: str) -> None:
        """Send a caller back to the dialplan, behind `Stasis()`."""

    async def add_to_bridge(self, bridge: str, channels: tuple[str, ...]) -> None:
        """Put channels into a bridge; fine where they are in it."""

    async def delete_channel(self, channel: str) -> None:
        """Hang up; fine when it is gone."""

    async def delete_bridge(self, bridge: str) -> None:
        """Delete; fine when it is gone."""

    def events(self, application: str) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Register the application and read its events until the connection ends."""


async def media_address(client: AriClient, channel: Channel) -> MediaAddress:
    """Where to send a media channel's RTP: from the snapshot, else asked for.

    Raises:
        AriError: Asterisk doesn't say it, or says what is no address.
    """
    port = channel.media_port or await client.variable(channel.id, "UNICASTRTP_LOCAL_PORT")
    address = channel.media_address or await client.variable(channel.id, "UNICASTRTP_LOCAL_ADDRESS")
    if not address or not port or not str(port).isdecimal() or not 0 < int(port) <= 65535:  # noqa: PLR2004 RFC 768
        raise AriError(
            f"channel {channel.id}: UNICASTRTP_LOCAL_ADDRESS is {address!r} and UNICASTRTP_LOCAL_PORT {port!r}; "
            "is chan_rtp loaded in Asterisk?"
        )
    return MediaAddress(address, int(port))

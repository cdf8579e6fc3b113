"""What the stand-in needs of whoever plays its media channels: its own sockets, or a load generator outside Python."""

from __future__ import annotations

from typing import Protocol, Self

from rtppool_core.statistics.histogram import Histogram


class Leg(Protocol):
    """A media channel's end: its address, and what it sent and got back."""

    @property
    def local(self) -> tuple[str, int]:
        """The address that ARI tells as `UNICASTRTP_LOCAL_ADDRESS` and `UNICASTRTP_LOCAL_PORT`."""

    @property
    def sent(self) -> int:
        """Packets sent so far."""

    @property
    def returned(self) -> int:
        """Packets of its own that came back."""

    @property
    def round_trips(self) -> Histogram | None:
        """From send to return, of its own packets; None where the player does not measure them."""


class Player(Protocol):
    """Opens, plays and closes legs by their channel's id. Used as `async with`."""

    async def __aenter__(self) -> Self:
        """Begin."""

    async def __aexit__(self, *_: object) -> None:
        """Close what is open."""

    def open(self, channel: str, peer: tuple[str, int]) -> Leg:
        """A leg that will send to `peer`; silent until `play`."""

    def leg(self, channel: str) -> Leg | None:
        """The open leg of a channel."""

    def play(self, channel: str) -> None:
        """Send from now on."""

    def pause(self, channel: str) -> None:
        """Send no more."""

    def close(self, channel: str) -> None:
        """The channel ended."""

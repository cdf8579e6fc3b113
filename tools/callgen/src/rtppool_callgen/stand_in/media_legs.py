"""The interface to a player of media channels: the stand-in's own sockets, or an external load generator."""

from __future__ import annotations

from typing import Protocol, Self

from rtppool_core.statistics.histogram import Histogram


class Leg(Protocol):
    """The socket of a media channel: its address, and its packet counts."""

    @property
    def local(self) -> tuple[str, int]:
        """The address in `UNICASTRTP_LOCAL_ADDRESS` and `UNICASTRTP_LOCAL_PORT`."""

    @property
    def sent(self) -> int:
        """Packets sent so far."""

    @property
    def returned(self) -> int:
        """Own packets that came back."""

    @property
    def round_trips(self) -> Histogram | None:
        """From send to return of own packets; None where the player does not measure."""


class Player(Protocol):
    """Opens, plays and closes legs by channel id. Used as `async with`."""

    async def __aenter__(self) -> Self:
        """Start sending."""

    async def __aexit__(self, *_: object) -> None:
        """Close all legs."""

    def open(self, channel: str, peer: tuple[str, int]) -> Leg:
        """Return a new leg to `peer`, silent until `play`."""

    def leg(self, channel: str) -> Leg | None:
        """Return the open leg of a channel."""

    def play(self, channel: str) -> None:
        """Start sending on a channel."""

    def pause(self, channel: str) -> None:
        """Stop sending on a channel."""

    def close(self, channel: str) -> None:
        """Close the leg of a channel."""

"""What the calls need of the media side: open a port, connect it to Asterisk, close it with final figures.

The call life cycle knows only these protocols, so that its tests need no sockets and the media side knows no ARI.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.streams.flow import MediaFlow

RefusalReason = Literal["NoFreePort", "MaxCalls", "Draining", "EchoUnreachable", "MediaDown", "Overloaded", "NotReady"]


class Refused(Exception):  # noqa: N818 a refusal is an ordinary answer, not a fault
    """The relay can't take this call now. `reason` goes to the dialplan and into the counters."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason: RefusalReason = reason


class MediaPort(Protocol):
    """A leased port with its two sockets bound and the echo's side connected."""

    @property
    def port(self) -> int:
        """The UDP port that Asterisk is told."""

    @property
    def advertised_address(self) -> str:
        """The address that Asterisk is told; never 0.0.0.0 or ::."""

    async def connect(self, address: str, port: int) -> None:
        """Connect the other socket to exactly Asterisk's address and port; returns when packets are forwarded.

        Raises:
            MediaFault: no route to the address from the bound one, or no media process takes the call.
        """

    def figures(self) -> CallFigures:
        """The figures so far."""

    def flow(self) -> MediaFlow:
        """How many packets went which way so far: cheaper than the figures."""

    async def close(self) -> CallFigures:
        """Stop forwarding, close the sockets, let the port rest. Safe to call again."""


class PortAllocator(Protocol):
    """Ports and media processes of this relay."""

    @property
    def media_format(self) -> str:
        """The format that Asterisk is asked to send (`ulaw`)."""

    async def open(self, call: str) -> MediaPort:
        """Lease a port for a new call.

        Raises:
            Refused: with the reason.
        """

    async def audit(self, ports_of_calls: Iterable[int]) -> tuple[int, ...]:
        """Take back leases that belong to none of `ports_of_calls`, the ports of all calls; returns the leaked ones."""

    async def adopt(self, call: str, port: int) -> MediaPort:
        """Take a call that already runs in Asterisk on `port` of this relay (after a restart).

        Raises:
            Refused: the port is leased or won't bind, or the echo or the media processes are not there yet.
        """

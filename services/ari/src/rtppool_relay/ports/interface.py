"""The ports as calls use them: open one, connect it to Asterisk, close it with its final figures.

Calls know only these protocols, so that their tests need no sockets. Ports know nothing of ARI.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.streams.flow import MediaFlow

RefusalReason = Literal["NoFreePort", "MaxCalls", "Draining", "EchoUnreachable", "MediaDown", "Overloaded", "NotReady"]


class Refused(Exception):  # noqa: N818 a refusal is an ordinary answer, not an error
    """The relay cannot take a call now. `reason` goes to the dialplan and into the counters."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason: RefusalReason = reason


class MediaPort(Protocol):
    """A leased port: both sockets bound, the one towards the echo connected."""

    @property
    def port(self) -> int:
        """The UDP port that Asterisk sends to."""

    def announce(self) -> tuple[str, int]:
        """Return the address and port for Asterisk, never of 0.0.0.0 or ::. From now on Asterisk may send to them.

        A port that was never announced has no late packets, and is free right after its release.
        """

    async def connect(self, address: str, port: int) -> None:
        """Connect the other socket to exactly Asterisk's address and port; return when packets are forwarded.

        Raises:
            MediaFault: the bound address has no route to it, or no media process takes the call.
        """

    def figures(self) -> CallFigures:
        """Return the figures so far."""

    async def observe_senders(self) -> str | None:
        """Observe the port for a second; return a sentence where RTP comes from another address than Asterisk's.

        No packet of the call is lost meanwhile, and nothing is sent to such an address.
        """

    def flow(self) -> MediaFlow:
        """Return the packet counts of both directions so far; cheaper than `figures`."""

    def excuse_digit(self, duration_seconds: float) -> None:
        """Count packets as not lost that are missing from Asterisk during a digit that ended now."""

    async def close(self) -> CallFigures:
        """Stop forwarding, close the sockets, release the port. Return the final figures, also when called again."""


class PortAllocator(Protocol):
    """The ports and media processes of this relay."""

    @property
    def media_format(self) -> str:
        """The audio format that Asterisk sends (`ulaw`)."""

    async def open(self, call: str) -> MediaPort:
        """Lease a port for a new call.

        Raises:
            Refused: the relay cannot take the call.
        """

    async def adopt(self, call: str, port: int) -> MediaPort:
        """Lease `port` for a call that Asterisk already sends there (after a restart of the relay).

        Raises:
            Refused: the port is leased or cannot be bound, or the echo or the media processes are not ready.
        """

    def hold(self, ports: frozenset[int]) -> None:
        """Lease these ports to no new call: calls that are not adopted yet, or cannot be, send to them."""

    async def audit(self, ports_of_calls: Iterable[int]) -> tuple[int, ...]:
        """Take back leases of ports not in `ports_of_calls`, the ports of all live calls; return the leaked ports."""

"""What the calls need of the media side: open a port, connect it to Asterisk, close it with final figures.

The call life cycle knows only these protocols, so that its tests need no sockets and the media side knows no ARI.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from rtppool_core.report import BurstsReport, DirectedLossReport, LateByCause, ReorderingReport, SlaViolation
from rtppool_relay.media_state import MediaFlow

RefusalReason = Literal["NoFreePort", "MaxCalls", "Draining", "EchoUnreachable", "MediaDown", "Overloaded", "NotReady"]


class Refused(Exception):  # noqa: N818 a refusal is an ordinary answer, not a fault
    """The relay can't take this call now. `reason` goes to the dialplan and into the counters."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason: RefusalReason = reason


class MediaFault(Exception):  # noqa: N818 the field's word
    """The media side failed for a call that it had taken; the message says what and where."""


@dataclass(frozen=True, slots=True)
class CallFigures:
    """One call's figures from its first packet on, in µs and counts; what was not measured is None.

    Residences are the relay's and the echo's; `network` is the round trip without the echo's. R and MOS are estimates
    (ITU-T G.107) from round trip and loss.
    """

    packets: int
    answered: int
    lost: int
    source_lost: int
    late: LateByCause
    reordered: int
    duplicates: int
    too_late: int
    dscp_changed: int = 0
    source_dscp_mismatches: int = 0
    reordering: ReorderingReport | None = None
    directed_loss: DirectedLossReport | None = None
    bursts: BurstsReport | None = None
    p50_microseconds: int | None = None
    p95_microseconds: int | None = None
    p99_microseconds: int | None = None
    max_microseconds: int | None = None
    pdv_microseconds: int | None = None
    source_pdv_microseconds: int | None = None
    jitter_microseconds: int | None = None
    source_jitter_microseconds: int | None = None
    skew_ppm: int | None = None
    residence_p99_microseconds: int | None = None
    echo_residence_p99_microseconds: int | None = None
    network_p50_microseconds: int | None = None
    network_p99_microseconds: int | None = None
    estimated_r_factor: float | None = None
    estimated_mos: float | None = None
    sla: Literal["Met", "Violated", "Unknown"] = "Unknown"
    violations: tuple[SlaViolation, ...] = ()


class CallMedia(Protocol):
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


class MediaPlane(Protocol):
    """Ports and media processes of this relay."""

    @property
    def media_format(self) -> str:
        """The format that Asterisk is asked to send (`ulaw`)."""

    async def open(self, call: str) -> CallMedia:
        """Lease a port for a new call.

        Raises:
            Refused: with the reason.
        """

    async def audit(self, ports_of_calls: Iterable[int]) -> tuple[int, ...]:
        """Take back leases that belong to none of `ports_of_calls`, the ports of all calls; returns the leaked ones."""

    async def adopt(self, call: str, port: int) -> CallMedia:
        """Take a call that already runs in Asterisk on `port` of this relay (after a restart).

        Raises:
            Refused: the port is leased or won't bind, or the echo or the media processes are not there yet.
        """

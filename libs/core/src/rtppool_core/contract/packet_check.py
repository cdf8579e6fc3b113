"""The relay's answer to `/check`: packets that it has just sent, for `helm test`."""

from __future__ import annotations

from rtppool_core.contract.codec import Contract


class Burst(Contract, frozen=True):
    """Packets to one target, and those that came back. `problem` says why none was sent."""

    target: str
    sent: int = 0
    answered: int = 0
    median_microseconds: int | None = None
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether packets were sent, and all of them came back."""
        return 0 < self.sent == self.answered


class PacketCheck(Contract, frozen=True):
    """Packets of one node: through its relay to the relay's echo, and to the node's own echo.

    `node_echo` is None for a relay that does not know of an echo on its node.
    """

    node: str
    through_relay: Burst
    node_echo: Burst | None = None

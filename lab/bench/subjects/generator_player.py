"""A player for the Asterisk stand-in whose legs are the load generator's sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from lab.base.errors import LabError
from lab.base.places import LOOPBACK


@dataclass(frozen=True, slots=True)
class GeneratorLeg:
    """A call of the load generator. Its packets are in the generator's own records."""

    local: tuple[str, int]
    peer: tuple[str, int]
    sent: int = 0
    returned: int = 0
    round_trips: None = None


class GeneratorPlayer:
    """A player that assigns the generator's ports in order.

    `before_answer` is called with the relay's port before Asterisk's answer, when the port is bound and not connected.
    """

    def __init__(self, ports: Sequence[int], before_answer: Callable[[int], None] | None = None) -> None:
        self._free = list(reversed(ports))
        self._before_answer = before_answer
        self._legs: dict[str, GeneratorLeg] = {}
        self._playing: set[str] = set()
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Do nothing: the measurement starts the generator."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    @property
    def playing(self) -> int:
        """The number of calls that are up."""
        return len(self._playing)

    def peers(self) -> list[int]:
        """Return the relay's ports in the order of the generator's."""
        by_port = {leg.local[1]: leg.peer[1] for leg in self._legs.values()}
        return [by_port[port] for port in sorted(by_port)]

    def open(self, channel: str, peer: tuple[str, int]) -> GeneratorLeg:
        """Assign the next of the generator's sockets."""
        if not self._free:
            raise LabError("more calls were placed than the load generator has sockets")
        if self._before_answer is not None:
            self._before_answer(peer[1])
        leg = self._legs[channel] = GeneratorLeg((LOOPBACK, self._free.pop()), peer)
        return leg

    def leg(self, channel: str) -> GeneratorLeg | None:
        """Return the leg of a channel."""
        return self._legs.get(channel)

    def play(self, channel: str) -> None:
        """Note that the call is up."""
        self._playing.add(channel)
        self.changed.set()

    def pause(self, channel: str) -> None:
        """Note that the call ends."""
        self._playing.discard(channel)

    def close(self, channel: str) -> None:
        """Forget an ended channel."""
        self._playing.discard(channel)
        self._legs.pop(channel, None)

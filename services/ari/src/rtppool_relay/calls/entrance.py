"""Conditions on Asterisk's side for new calls: rights to serve them, and ports that no earlier call holds."""

from __future__ import annotations

import asyncio

from rtppool_relay.ports.interface import Refused

# Shorter than the limit of a call's set-up, so that the caller returns with a reason.
MAX_WAIT_SECONDS = 4.0


class Entrance:
    """Whether a new call may lease a port.

    After a restart, ports of the range may belong to calls of the previous relay. No new call gets a port until
    Asterisk was asked for the bridges and media channels of this relay.

    Attributes:
        rights_problem: a sentence while Asterisk refuses this user's writes.
    """

    def __init__(self) -> None:
        self.rights_problem: str | None = None
        self._opened = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether Asterisk was asked for the calls of the previous relay."""
        return self._opened.is_set()

    def open(self) -> None:
        """Let callers in. The ports of earlier calls are held now."""
        self._opened.set()

    async def enter(self) -> None:
        """Wait until a new call may lease a port.

        Raises:
            Refused: Asterisk refuses writes, or does not answer in time which ports earlier calls hold.
        """
        if self.rights_problem is not None:
            raise Refused("NotReady", self.rights_problem)
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await self._opened.wait()
        except TimeoutError as error:
            raise Refused(
                "NotReady",
                f"Asterisk has not answered for {MAX_WAIT_SECONDS:g} s which ports the calls of an earlier relay hold",
            ) from error

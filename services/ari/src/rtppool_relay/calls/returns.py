"""Callers who are still to be given back to the dialplan.

Asterisk refused their return, or did not answer, or too many calls were being set up. Their calls have ended and are
counted. Each one is tried again with every comparison, and is not taken as a new call meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Set as AbstractSet

from rtppool_relay.ari.errors import AriError, AriRefused
from rtppool_relay.ari.rest import AriClient

log = logging.getLogger(__name__)

MAX_UNRETURNED = 10_000
MAX_RETURNS_AT_ONCE = 8
# Asterisk's answers about a channel that does not exist, or is in no Stasis application.
_HAS_LEFT = {404, 409}


async def give_back(client: AriClient, channel: str, variable: str, value: str) -> None:
    """Send a caller on in the dialplan with a reason, unless the caller has left.

    Raises:
        AriError: Asterisk refuses it, or does not answer.
    """
    try:
        await client.set_variable(channel, variable, value)
        await client.continue_in_dialplan(channel)
    except AriRefused as refused:
        if refused.status not in _HAS_LEFT:
            raise
        log.debug("channel %s has left: %s", channel, refused)


class Returns:
    """The waiting callers by channel, each with the variable and the value of its reason."""

    def __init__(self, client: AriClient) -> None:
        self._client = client
        self._waiting: dict[str, tuple[str, str]] = {}
        # The callers whom the present round has not tried yet.
        self._untried: deque[str] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def channels(self) -> AbstractSet[str]:
        """The channels of the waiting callers."""
        return self._waiting.keys()

    @property
    def is_full(self) -> bool:
        """Whether no further caller may wait."""
        return len(self._waiting) >= MAX_UNRETURNED

    def add(self, channel: str, variable: str, value: str) -> None:
        """Let a caller wait for the next attempt. One beyond the bound stays in the application."""
        if not self.is_full:
            self._waiting[channel] = variable, value
            self._untried.append(channel)

    def discard(self, channel: str) -> None:
        """Forget a caller who left, or entered again."""
        self._waiting.pop(channel, None)

    def start(self) -> None:
        """Try once to give each caller back, also those that come meanwhile, unless this is under way."""
        if self._waiting and (self._task is None or self._task.done()):
            self._untried = deque(self._waiting)
            self._task = asyncio.create_task(self._return_all(), name="callers return to the dialplan")

    async def close(self) -> None:
        """Stop. Callers who still wait are found by the next relay."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _return_all(self) -> None:
        async def return_untried() -> None:
            while self._untried:
                channel = self._untried.popleft()
                if channel in self._waiting:
                    await self._return(channel)

        await asyncio.gather(*(return_untried() for _ in range(MAX_RETURNS_AT_ONCE)))

    async def _return(self, channel: str) -> None:
        try:
            await give_back(self._client, channel, *self._waiting[channel])
        except AriError as error:
            log.debug("channel %s could not be sent back to the dialplan: %s", channel, error)
        except Exception:
            log.exception("channel %s: unexpected while it was sent back to the dialplan", channel)
        else:
            self.discard(channel)

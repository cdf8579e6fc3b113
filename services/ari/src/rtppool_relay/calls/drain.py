"""The end of a relay: it refuses new calls, and live ones go on to their end or to the deadline."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Drainable(Protocol):
    """The calls, as the drain uses them."""

    @property
    def active_calls(self) -> int:
        """Calls that have not ended."""

    def begin_drain(self) -> None:
        """Refuse new calls from now on."""

    async def wait_until_idle(self) -> None:
        """Return when no call is left."""

    async def cut_all(self) -> int:
        """End the remaining calls and return their number."""


async def drain(calls: Drainable, deadline_seconds: float, urgent: asyncio.Event) -> None:
    """Wait for the end of all calls, the deadline or a second signal (`urgent`). Then cut the remaining calls."""
    calls.begin_drain()
    before = calls.active_calls
    log.info("draining", extra={"fields": {"calls": before, "deadline_seconds": deadline_seconds}})
    idle = asyncio.create_task(calls.wait_until_idle())
    asked_again = asyncio.create_task(urgent.wait())
    await asyncio.wait({idle, asked_again}, timeout=deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (idle, asked_again):
        task.cancel()
    await asyncio.gather(idle, asked_again, return_exceptions=True)
    cut = await calls.cut_all()
    log.info("drained", extra={"fields": {"ended": before - cut, "cut": cut}})

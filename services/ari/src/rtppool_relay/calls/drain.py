"""The end of a relay: no new calls, live ones go on to their end or to the deadline."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Drainable(Protocol):
    """Whatever holds the calls."""

    @property
    def active_calls(self) -> int:
        """Calls that have not ended."""

    def begin_drain(self) -> None:
        """Refuse new calls from now on."""

    async def wait_until_idle(self) -> None:
        """Return when no call is left."""

    async def cut_all(self) -> int:
        """End what is left; returns how many were cut."""


async def drain(calls: Drainable, deadline_seconds: float, urgent: asyncio.Event) -> None:
    """Wait for the calls' end, the deadline or a second signal, whichever comes first; then cut what is left."""
    calls.begin_drain()
    before = calls.active_calls
    log.info("draining", extra={"fields": {"calls": before, "deadline_seconds": deadline_seconds}})
    idle = asyncio.create_task(calls.wait_until_idle())
    hurried = asyncio.create_task(urgent.wait())
    await asyncio.wait({idle, hurried}, timeout=deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in (idle, hurried):
        task.cancel()
    await asyncio.gather(idle, hurried, return_exceptions=True)
    cut = await calls.cut_all()
    log.info("drained", extra={"fields": {"ended": before - cut, "cut": cut}})

"""Callers who arrive at a steady rate, and stay or are followed by others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from rtppool_callgen.stand_in.switchboard import SwitchboardError

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.2


class Exchange(Protocol):
    """Where callers arrive: the stand-in."""

    def place_call(self, application: str) -> str:
        """A caller arrives; returns its channel."""

    def hang_up(self, channel: str) -> None:
        """A caller hangs up."""

    def callers(self) -> list[str]:
        """Callers on the line."""


async def place_calls(
    exchange: Exchange, application: str, calls: int, per_second: float, registered: Callable[[], bool]
) -> None:
    """Wait until somebody serves the application, then let `calls` callers arrive, `per_second` of them."""
    while not registered():  # noqa: ASYNC110 the switchboard knows no event loop
        await asyncio.sleep(RETRY_SECONDS)
    log.info("calls are placed", extra={"fields": {"calls": calls, "per_second": per_second}})
    placed = 0
    while placed < calls:
        try:
            exchange.place_call(application)
        except SwitchboardError as error:
            # The relay was restarted meanwhile: its callers go on, the next ones wait for it.
            log.warning("a call waits: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        placed += 1
        await asyncio.sleep(1 / per_second)
    log.info("all calls are placed", extra={"fields": {"calls": calls}})


def hang_up_all(exchange: Exchange) -> int:
    """All callers hang up; returns how many they were."""
    callers = exchange.callers()
    for channel in callers:
        exchange.hang_up(channel)
    return len(callers)

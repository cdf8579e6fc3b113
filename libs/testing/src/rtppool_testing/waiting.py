"""Waiting for another task or process with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.01


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], expected: str = "", within_seconds: float = 60.0
) -> None:
    """Poll `condition` until it holds. `expected` names it in the failure.

    The default deadline is for processes that start on a busy machine. A failing test alone waits that long.

    Raises:
        AssertionError: the condition did not hold within `within_seconds`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        if loop.time() > deadline:
            raise AssertionError(f"not within {within_seconds:g} s: {expected or 'the condition'}")
        await asyncio.sleep(POLL_SECONDS)

"""Waiting for another process by polling, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Callable

from lab.base.errors import LabError

POLL_SECONDS = 0.05


async def wait_until(
    condition: str,
    is_met: Callable[[], object],
    within_seconds: float,
    *,
    poll_seconds: float = POLL_SECONDS,
    failure: type[Exception] = LabError,
) -> float:
    """Wait until `is_met`, a function or a coroutine function, returns a true value; return the seconds passed.

    Raises:
        failure: the condition was not met within the time.
    """
    started = time.monotonic()
    while True:
        met = is_met()
        if inspect.isawaitable(met):
            met = await met
        if met:
            return time.monotonic() - started
        if time.monotonic() - started > within_seconds:
            raise failure(f"{condition}: not within {within_seconds:.0f} s")
        await asyncio.sleep(poll_seconds)


async def wait_for_listener(host: str, port: int, within_seconds: float) -> float:
    """Wait until a TCP connection is accepted; return the time of the acceptance (monotonic seconds).

    Raises:
        LabError: no connection was accepted within the time.
    """
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            accepted = time.monotonic()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return accepted
        await asyncio.sleep(0.01)
    raise LabError(f"nothing accepts connections at {host}:{port} within {within_seconds:.0f} s")

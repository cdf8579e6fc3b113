"""Readers of a relay's HTTP during a load: Prometheus, which scrapes, and the operator, which waits for a report."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from lab.bench.subjects.own import OwnRelay
from rtppool_core.contract.report_changes import AFTER
from rtppool_core.contract.report_changes import WAIT_SECONDS as WAIT

WAIT_SECONDS = 10


@asynccontextmanager
async def scraped(relay: OwnRelay, every_seconds: float) -> AsyncIterator[None]:
    """Fetch `/metrics` at this interval, for the length of the block."""

    async def scrape() -> None:
        await relay.metrics()
        await asyncio.sleep(every_seconds)

    async with _repeated(scrape):
        yield


@asynccontextmanager
async def awaited(relay: OwnRelay) -> AsyncIterator[None]:
    """Hold a request for the next report at all times, for the length of the block."""
    position = ""

    async def wait() -> None:
        nonlocal position
        query = {AFTER: position, WAIT: str(WAIT_SECONDS)}
        async with relay.http.get("/status", params=query) as response:
            response.raise_for_status()
            if response.status != HTTPStatus.NO_CONTENT:
                position = (await response.json())["position"]

    async with _repeated(wait):
        yield


@asynccontextmanager
async def _repeated(step: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    async def repeat() -> None:
        while True:
            await step()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

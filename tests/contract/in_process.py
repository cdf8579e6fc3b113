"""Relay and echo that run in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from unittest.mock import patch

from rtppool_core.process.service import Stop
from rtppool_echo.app import Echo
from rtppool_relay.app import Relay
from rtppool_relay.http.service import HttpService
from rtppool_testing.waiting import until


@asynccontextmanager
async def in_process(program: Relay | Echo) -> AsyncIterator[None]:
    """Run a program that ends as a killed process does: no call is torn down in Asterisk."""
    is_relay = isinstance(program, Relay)
    # The relay's niceness would stay with the test process for all tests to come.
    with patch.object(program._supervisor, "yield_to_media") if is_relay else nullcontext():
        task = asyncio.create_task(program.run(Stop()))
        try:
            if is_relay:
                # The import would hold up a stand-in that shares the event loop.
                await until(lambda: program._http is not None or task.done(), "the relay answers HTTP")
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def http_of(relay: Relay) -> HttpService:
    """Return the HTTP of a relay that runs in process."""
    assert relay._http is not None
    return relay._http

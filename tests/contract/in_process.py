"""Relay and echo that run in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from unittest.mock import patch

from rtppool_core.process.service import Stop
from rtppool_echo.app import Echo
from rtppool_relay.app import Relay


@asynccontextmanager
async def in_process(program: Relay | Echo) -> AsyncIterator[None]:
    """Run a program that ends as a killed process does: no call is torn down in Asterisk."""
    is_relay = isinstance(program, Relay)
    # The relay's niceness would stay with the test process for all tests to come.
    with patch.object(program._supervisor, "yield_to_media") if is_relay else nullcontext():
        task = asyncio.create_task(program.run(Stop()))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

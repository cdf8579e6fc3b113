"""The short form of `make chaos` without Asterisk: one fault each under ten calls of the stand-in."""

import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from relay_process import relay_process, talking

from lab.base.descriptors import open_descriptors
from lab.base.proc import media_pids
from lab.tests.faults.calls.line_under_faults import CALLS, Line, placed
from rtppool_testing.waiting import until


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with placed(tmp_path) as ready:
        yield ready


async def reconnected(line: Line) -> bool:
    status = await line.relay.get("/status")
    return bool(status) and status["ari"]["state"] == "Connected" and status["ari"]["reconnects"] > 0


async def test_calls_go_on_when_the_connection_to_asterisk_is_reset(line: Line) -> None:
    line.proxy.reset()
    await until(lambda: reconnected(line), "connected again")
    await talking(line.stand_in, line.callers)
    assert await line.count("active") == CALLS
    assert await line.count("cut") == 0
    await line.adds_up()


async def test_a_caller_who_hangs_up_while_the_connection_is_silent_is_noticed_and_the_others_go_on(line: Line) -> None:
    line.proxy.swallow()
    gone = line.callers.pop()
    line.stand_in.hang_up(gone)
    silent_since = time.monotonic()

    async def noticed() -> bool:
        return line.relay.log.read_text().count("Asterisk is not connected") > 0 or time.monotonic() - silent_since > 10

    await until(noticed, "the silence is noticed")
    line.proxy.heal()
    await until(lambda: reconnected(line), "connected again")

    async def ended() -> bool:
        return await line.count("active") == CALLS - 1

    await until(ended, "the one that hung up has ended")
    await talking(line.stand_in, line.callers)
    await line.adds_up()


async def test_calls_go_on_when_their_media_process_is_killed(line: Line) -> None:
    os.kill(max(media_pids(line.relay.process.pid), key=open_descriptors), signal.SIGKILL)
    await talking(line.stand_in, line.callers)
    assert await line.count("active") == CALLS
    await line.adds_up()


async def test_calls_go_on_when_the_control_process_is_killed_and_started_again(line: Line, tmp_path: Path) -> None:
    line.relay.signal(signal.SIGKILL)
    await line.relay.exit_code()
    async with relay_process(line.relay.settings, tmp_path / "next.log") as following:
        after = replace(line, relay=following)

        async def adopted() -> bool:
            return await after.count("adopted") == CALLS

        await until(adopted, "the next relay has adopted every call")
        await talking(line.stand_in, line.callers)
        await after.adds_up()

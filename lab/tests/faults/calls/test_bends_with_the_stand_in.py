"""Bent answers and events under ten calls of the stand-in: the short form of `make chaos CHAOS='--only hostile'`."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from relay_process import relay_process, talking

from lab.base.proc import resident_bytes
from lab.faults.calls.rounds.bends import CASES, Case
from lab.faults.calls.rounds.hostile import bent, send_events
from lab.tests.faults.calls.line_under_faults import APPLICATION, CALLS, Line, placed
from rtppool_testing.waiting import until

MAX_GROWTH_BYTES = 128 << 20
SERVED_SECONDS = 10.0
CHOSEN = {
    "500 to the list of channels",
    "403 to both lists",
    "no optional field in a list",
    "null in each list",
    "a gzip bomb",
    "lists of deep arrays",
    "a huge integer in a list",
    "events with a huge integer",
    "a flood of malformed events",
}
RESTARTED = {"500 to the list of channels, relay killed", "no optional field in a list, relay killed"}


def chosen(titles: set[str]) -> list[Case]:
    return [case for case in CASES if case.title in titles]


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with placed(tmp_path) as ready:
        yield ready


async def served(line: Line, within_seconds: float = SERVED_SECONDS) -> None:
    """Place one more call as soon as the application is registered, and wait until it talks."""
    deadline = time.monotonic() + within_seconds
    while not line.stand_in.switchboard.is_registered(APPLICATION):
        assert time.monotonic() < deadline, "the application is not registered"
        await asyncio.sleep(0.05)
    line.callers.append(line.stand_in.place_call(APPLICATION))
    await talking(line.stand_in, line.callers)


@pytest.mark.parametrize("case", chosen(CHOSEN), ids=lambda case: case.title)
async def test_bent_answers_cost_no_call_and_no_memory_and_callers_are_served(line: Line, case: Case) -> None:
    pid = line.relay.process.pid
    before = resident_bytes(pid)
    with bent(line.bending, case):
        line.proxy.reset()
        await served(line)
        await send_events(line.bending, case)
        await talking(line.stand_in, line.callers)
    assert line.relay.process.returncode is None
    assert resident_bytes(pid) - before < MAX_GROWTH_BYTES
    assert await line.count("cut") == 0
    await served(line)
    await line.adds_up()


@pytest.mark.parametrize("case", chosen(RESTARTED), ids=lambda case: case.title)
async def test_a_relay_that_starts_under_bent_answers_adopts_every_call(line: Line, case: Case, tmp_path: Path) -> None:
    with bent(line.bending, case):
        line.relay.process.kill()
        await line.relay.exit_code()
        async with relay_process(line.relay.settings, tmp_path / "next.log") as following:
            after = Line(line.stand_in, line.proxy, line.bending, following, line.callers)

            async def adopted() -> bool:
                return await after.count("adopted") == CALLS

            await until(adopted, "every call is adopted while answers are bent")
            await served(after)
            await after.adds_up()


def test_every_chosen_case_exists() -> None:
    assert len(chosen(CHOSEN | RESTARTED)) == len(CHOSEN | RESTARTED)

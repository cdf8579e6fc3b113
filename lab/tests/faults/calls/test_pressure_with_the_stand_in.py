"""Exhausted descriptors and idle connections under ten calls of the stand-in: the short form of the chaos rows."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from relay_process import talking

from lab.base.descriptors import descriptors_exhausted
from lab.base.idle_connections import ask, idle_connections
from lab.base.proc import media_pids, resident_bytes
from lab.tests.faults.calls.line_under_faults import APPLICATION, CALLS, MORE, Line, placed
from rtppool_testing.waiting import until

IDLE = 2_000
PROBES = 20
PATIENCE_SECONDS = 20.0  # `make chaos` holds answers to a second; other tests share this machine here
PATHS = ("/health", "/ready")
MAX_GROWTH_BYTES = 32 << 20
MAX_LINES = 10


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with placed(tmp_path) as ready:
        yield ready


def http_port(line: Line) -> int:
    return int(line.relay.settings["HTTP_PORT"])


async def turned_away(line: Line) -> int:
    """Return how many callers were refused, or given back after their answer."""
    calls = await line.relay.calls()
    return int(sum(calls["refused"].values()) + calls["ended"])


@pytest.mark.parametrize("which", ["control process", "media processes"])
async def test_without_descriptors_callers_are_turned_away_calls_go_on_and_http_answers(line: Line, which: str) -> None:
    pid = line.relay.process.pid
    with descriptors_exhausted([pid] if which == "control process" else media_pids(pid)):
        for _ in range(MORE):
            line.callers.append(line.stand_in.place_call(APPLICATION))
        answers = await ask(http_port(line), PATHS, PROBES, within_seconds=PATIENCE_SECONDS)
        assert answers.answered == answers.sent
        await talking(line.stand_in, line.callers[:CALLS])

        async def some_turned_away() -> bool:
            return await turned_away(line) > 0

        await until(some_turned_away, "a caller is turned away")
    line.callers[:] = [caller for caller in line.callers if caller in line.stand_in.callers()]
    assert line.relay.process.returncode is None
    line.callers.append(line.stand_in.place_call(APPLICATION))
    await talking(line.stand_in, line.callers[:CALLS] + line.callers[-1:])
    line.callers[:] = line.stand_in.callers()
    await line.adds_up()


async def test_idle_connections_cost_calls_and_probes_nothing(line: Line) -> None:
    pid, size = line.relay.process.pid, line.relay.log.stat().st_size
    memory = resident_bytes(pid)
    async with idle_connections(http_port(line), IDLE):
        answers = await ask(http_port(line), PATHS, PROBES, within_seconds=PATIENCE_SECONDS)
        assert answers.answered == answers.sent
        await talking(line.stand_in, line.callers)
        assert resident_bytes(pid) - memory < MAX_GROWTH_BYTES
    assert line.relay.log.read_text()[size:].count("\n") < MAX_LINES
    await line.adds_up()

"""The programs in C agree with their readers in Python."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lab.base.turns import hold_lock
from lab.bench.causes.disturber import disturber
from lab.bench.causes.plan import Means, Stall
from lab.bench.causes.timelines import RECORD
from lab.bench.load.load_generator import load_generator
from lab.bench.load.streams import stream_of
from lab.bench.places import ECHO_PORT
from lab.bench.programs.compiled import Programs, compile_all
from lab.bench.programs.reference_process import ANSWER_SECONDS, running
from lab.bench.programs.short_slices import with_short_slices
from lab.bench.subjects.echoes import reference_echo

SCHEDULER_TEXT = Path("/proc/self/sched")
CALLS, PACKETS, SEED = 3, 10, 7
SECONDS = PACKETS * 0.020

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return compile_all(tmp_path_factory.mktemp("programs"), with_go=False)


@pytest.fixture(autouse=True)
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hold the ports of the programs, which are the same in every worker of a parallel run."""
    with hold_lock(tmp_path_factory.getbasetemp().parent / "ports-of-reference-programs", lambda _text: None):
        yield


async def test_every_packet_of_the_load_is_due_20_ms_after_the_one_before_and_comes_back(
    programs: Programs, tmp_path: Path
) -> None:
    async with (
        reference_echo(programs),
        load_generator(programs.load, tmp_path, CALLS, SECONDS, 0.0, SEED) as generator,
    ):
        began_ns = await generator.connect([ECHO_PORT] * CALLS)
        await generator.until_warm()
        await generator.until_sent()
        load = await generator.result()
    assert (load.sent, load.returned, load.lost, load.foreign) == (CALLS * PACKETS, CALLS * PACKETS, 0, 0)
    assert (np.diff(load.scheduled_ns, axis=1) == 20_000_000).all()
    assert (load.scheduled_ns[:, 0] - began_ns < 20_000_000).all()
    assert (load.sent_ns >= load.scheduled_ns).all()
    assert (load.round_trips_ns(from_schedule=False) > 0).all()


async def test_a_packet_without_an_answer_is_lost_and_never_a_round_trip_of_zero(
    programs: Programs, tmp_path: Path
) -> None:
    async with load_generator(programs.load, tmp_path, CALLS, SECONDS, 0.0, SEED) as generator:
        await generator.connect([ECHO_PORT] * CALLS)
        await generator.until_warm()
        await generator.until_sent()
        load = await generator.result()
    assert load.lost_by_call() == [PACKETS] * CALLS
    assert load.round_trips_ns(from_schedule=True).size == 0


async def test_the_reflector_knows_each_packet_and_held_it_for_0_2_ms_or_longer(
    programs: Programs, tmp_path: Path
) -> None:
    records_file = tmp_path / "reflector.records"
    async with (
        running(programs.reflector, ECHO_PORT, SEED, records_file) as reflector,
        load_generator(programs.load, tmp_path, CALLS, SECONDS, 0.0, SEED) as generator,
    ):
        await reflector.expect("ready")
        await generator.connect([ECHO_PORT] * CALLS)
        await generator.until_warm()
        await generator.until_sent()
        await generator.result()
        reflector.close_input()
        summary = await reflector.json()
    records = np.fromfile(records_file, RECORD)
    assert (summary["sent"], summary["unstamped"]) == (CALLS * PACKETS, 0)
    for call in range(CALLS):
        stream = stream_of(SEED, call)
        own = records[records["ssrc"] == stream.ssrc]
        assert sorted((own["sequence"].astype(int) - stream.sequence) & 0xFFFF) == list(range(PACKETS))
    assert (records["departed_ns"] - records["arrived_ns"] >= 200_000).all()


async def test_a_stall_is_logged_from_its_stop_to_its_continuation(programs: Programs, tmp_path: Path) -> None:
    async with (
        running(programs.echo, ECHO_PORT) as stopped,
        disturber(programs.disturb, tmp_path / "log") as stalls,
    ):
        await stopped.expect("ready")
        plan = [Stall(Means.STOP, 10_000_000, 5_000_000, (stopped.pid,))]
        began_ns = await stalls.start(plan)
        found = (await stalls.finish(ANSWER_SECONDS)).stopped([stopped.pid])
    assert found.begins.size == 1
    assert found.begins[0] - began_ns > 9_000_000
    assert found.total_ns > 4_000_000


@pytest.mark.skipif(
    "se.slice" not in (SCHEDULER_TEXT.read_text() if SCHEDULER_TEXT.exists() else ""),
    reason="Linux before 6.12 has no slices of a thread",
)
def test_a_program_with_short_slices_has_those_of_our_packet_processes() -> None:
    text = subprocess.check_output(with_short_slices([shutil.which("cat") or "", str(SCHEDULER_TEXT)]), text=True)
    [slice_ns] = [int(line.split()[-1]) for line in text.splitlines() if line.startswith("se.slice ")]
    assert slice_ns == 100_000

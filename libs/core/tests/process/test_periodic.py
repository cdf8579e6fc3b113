"""Periodic jobs go on after any failure, and each cause is reported once."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Coroutine, Iterator
from functools import partial

import pytest

from rtppool_core.process.periodic import MAX_CAUSES, RECOVERED_SECONDS, REPORT_AGAIN_SECONDS, PeriodicJobs
from rtppool_core.process.shortage import is_shortage


class Scripted:
    """A job whose rounds raise the given errors in turn; None is a good round. Later rounds are good."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors: Iterator[BaseException | None] = iter(errors)
        self.rounds = 0

    def __call__(self) -> None:
        self.rounds += 1
        if (error := next(self.errors, None)) is not None:
            raise error


def too_many_files() -> OSError:
    return OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def jobs(caplog: pytest.LogCaptureFixture) -> PeriodicJobs:
    caplog.set_level(logging.INFO)
    return PeriodicJobs(lambda: asyncio.get_running_loop().time())


async def run_for(seconds: float, work: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(work)
    await asyncio.sleep(seconds)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.looptime
@pytest.mark.parametrize(
    "error", [too_many_files(), MemoryError(), RecursionError("deep"), ExceptionGroup("two", [ValueError("one")])]
)
async def test_a_round_that_fails_is_counted_and_the_next_one_follows(jobs: PeriodicJobs, error: Exception) -> None:
    job = Scripted(error)
    await run_for(2.5, jobs.repeat("reading the host", 1, job))
    assert (job.rounds, jobs.failures()) == (3, {"reading the host": 1})


@pytest.mark.looptime
@pytest.mark.parametrize("late_seconds", [0.0, 0.03])
async def test_jobs_that_run_together_share_their_wake_ups_and_keep_their_rates(late_seconds: float) -> None:
    loop, jobs, rounds = asyncio.get_running_loop(), PeriodicJobs(together_seconds=0.1), dict[float, list[float]]()

    async def job(interval: float) -> None:
        await asyncio.sleep(late_seconds)
        rounds.setdefault(interval, []).append(loop.time() - late_seconds)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(jobs.repeat("a job", each, partial(job, each))) for each in (0.1, 0.2, 0.25, 1.0, 0.02)
        ]
        await asyncio.sleep(10.01)
        for task in tasks:
            task.cancel()
    for interval, tolerance in ((0.1, 0.05), (0.2, 0.05), (0.25, 0.06), (1.0, 0.1)):
        times = rounds[interval]
        assert all(time == pytest.approx(round(time, 1)) for time in times)
        assert 10 / len(times) == pytest.approx(interval, abs=tolerance)
    assert 10 / len(rounds[0.02]) == pytest.approx(0.02 + late_seconds, rel=0.1)


@pytest.mark.looptime
async def test_a_coroutine_s_failure_is_caught_as_well(jobs: PeriodicJobs) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.1)
        raise ValueError("no")

    assert not await jobs.attempt("probe", fail)
    assert jobs.failures() == {"probe": 1}


@pytest.mark.looptime
async def test_a_cause_is_reported_once_with_place_and_remedy_and_its_recovery_once(
    jobs: PeriodicJobs, caplog: pytest.LogCaptureFixture
) -> None:
    job = Scripted(*(too_many_files() for _ in range(30)))
    await run_for(10, jobs.repeat("trial binds", 0.1, job))
    error, recovery = caplog.messages
    assert error.startswith("trial binds failed at test_periodic.py:")
    assert "Too many open files; it is repeated. To mend it: raise the limit of open files" in error
    assert recovery == "trial binds works again"
    assert jobs.failures() == {"trial binds": 30}


@pytest.mark.looptime
async def test_a_problem_is_current_until_the_job_has_worked_for_a_while(jobs: PeriodicJobs) -> None:
    job = Scripted(too_many_files())
    repeating = asyncio.create_task(jobs.repeat("probe", 0.5, job))
    await asyncio.sleep(RECOVERED_SECONDS - 0.1)
    (problem,) = jobs.problems()
    assert problem.startswith("probe failed at")
    await asyncio.sleep(0.7)
    assert jobs.problems() == ()
    repeating.cancel()


@pytest.mark.looptime
async def test_a_job_that_fails_now_and_then_does_not_fill_the_log(
    jobs: PeriodicJobs, caplog: pytest.LogCaptureFixture
) -> None:
    job = Scripted(*([too_many_files(), *[None] * 40] * 100))
    await run_for(2 * REPORT_AGAIN_SECONDS - 1, jobs.repeat("probe", 0.1, job))
    assert jobs.failures()["probe"] > 25
    assert len(caplog.records) == 4


@pytest.mark.looptime
async def test_another_cause_is_reported_too(jobs: PeriodicJobs, caplog: pytest.LogCaptureFixture) -> None:
    job = Scripted(too_many_files(), OSError(errno.ENOMEM, "x"), too_many_files())
    await run_for(1.5, jobs.repeat("probe", 0.5, job))
    assert ["Too many" in message for message in caplog.messages] == [True, False]


@pytest.mark.looptime
async def test_the_causes_of_a_job_are_bounded(jobs: PeriodicJobs) -> None:
    errors = [OSError(number, "x") for number in range(1, 3 * MAX_CAUSES)]
    await run_for(len(errors) / 10, jobs.repeat("probe", 0.1, Scripted(*errors)))
    assert len(jobs._states["probe"].logged_at_seconds) == MAX_CAUSES


@pytest.mark.looptime
async def test_an_endless_job_that_fails_or_returns_starts_again(
    jobs: PeriodicJobs, caplog: pytest.LogCaptureFixture
) -> None:
    starts = 0

    async def endless() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise too_many_files()
        if starts == 2:
            return
        await asyncio.Event().wait()

    await run_for(10, jobs.keep_running("resolving the echo", endless))
    assert (starts, jobs.failures(), jobs.problems()) == (3, {"resolving the echo": 2}, ())
    assert ["Too many" in caplog.messages[0], "returned" in caplog.messages[1]] == [True, True]
    assert caplog.messages[2:] == ["resolving the echo works again"]


@pytest.mark.looptime
async def test_a_cancellation_of_the_job_s_task_ends_it(jobs: PeriodicJobs) -> None:
    task = asyncio.create_task(jobs.keep_running("probe", asyncio.Event().wait))  # type: ignore[arg-type]
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert jobs.failures() == {"probe": 0}


@pytest.mark.looptime
async def test_a_cancellation_of_something_that_the_job_awaits_is_a_failure(jobs: PeriodicJobs) -> None:
    async def wait_for_a_cancelled_future() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    assert not await jobs.attempt("probe", wait_for_a_cancelled_future)


@pytest.mark.looptime
async def test_a_job_survives_a_log_without_memory(jobs: PeriodicJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("rtppool_core.process.periodic.log.error", refuse)
    assert not await jobs.attempt("probe", Scripted(too_many_files()))
    assert len(jobs.problems()) == 1


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_a_lack_of_descriptors_or_memory_is_a_shortage(number: int) -> None:
    assert is_shortage(OSError(number, "x"))
    assert is_shortage(MemoryError())
    assert not is_shortage(OSError(errno.EADDRINUSE, "x"))

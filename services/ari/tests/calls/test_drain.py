"""The end of a relay, in virtual time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from rtppool_relay.calls.drain import drain

pytestmark = pytest.mark.looptime


@dataclass
class Calls:
    """Calls that end at their times (seconds after the start of the drain)."""

    ends_after_seconds: list[float]
    cutting_seconds: float = 0.0
    refusing: bool = False
    cut_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begin = asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        return round(asyncio.get_running_loop().time() - self._begin, 6)

    @property
    def active_calls(self) -> int:
        return sum(end > self.now for end in self.ends_after_seconds)

    def begin_drain(self) -> None:
        self.refusing = True

    async def wait_until_idle(self) -> None:
        await asyncio.sleep(max([0.0, *self.ends_after_seconds]) - self.now)

    async def cut_all(self) -> int:
        cut = self.active_calls
        self.cut_at.append(self.now)
        await asyncio.sleep(self.cutting_seconds)
        return cut


def drained(caplog: pytest.LogCaptureFixture) -> dict[str, int]:
    (record,) = [record for record in caplog.records if record.message == "drained"]
    return dict(record.__dict__["fields"])


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def test_a_relay_without_calls_is_drained_at_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls([])
    await drain(calls, 3600, asyncio.Event())
    assert (calls.now, calls.refusing) == (0, True)
    assert drained(caplog) == {"ended": 0, "cut": 0}


async def test_new_calls_are_refused_from_the_first_moment_on() -> None:
    calls = Calls([5.0])
    task = asyncio.create_task(drain(calls, 3600, asyncio.Event()))
    await asyncio.sleep(0)
    assert calls.refusing
    await task


async def test_it_ends_with_the_last_call(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls([5.0, 30.0, 12.0])
    await drain(calls, 3600, asyncio.Event())
    assert calls.now == 30
    assert drained(caplog) == {"ended": 3, "cut": 0}


async def test_calls_that_outlast_the_deadline_are_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls([5.0, 90.0, 61.0], cutting_seconds=2.0)
    await drain(calls, 60, asyncio.Event())
    assert calls.cut_at == [60]
    assert calls.now == 62
    assert drained(caplog) == {"ended": 1, "cut": 2}


async def test_a_deadline_of_zero_cuts_at_once(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls([5.0])
    await drain(calls, 0, asyncio.Event())
    assert calls.cut_at == [0]
    assert drained(caplog) == {"ended": 0, "cut": 1}


async def test_a_second_signal_cuts_the_remaining_calls(caplog: pytest.LogCaptureFixture) -> None:
    calls, urgent = Calls([5.0, 90.0]), asyncio.Event()
    asyncio.get_running_loop().call_later(20, urgent.set)
    await drain(calls, 3600, urgent)
    assert calls.cut_at == [20]
    assert drained(caplog) == {"ended": 1, "cut": 1}


async def test_a_second_signal_that_came_before_cuts_at_once() -> None:
    calls, urgent = Calls([90.0]), asyncio.Event()
    urgent.set()
    await drain(calls, 3600, urgent)
    assert calls.cut_at == [0]

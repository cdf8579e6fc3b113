from __future__ import annotations

import io
import logging
import threading

import pytest

from rtppool_core.process import log_limit
from rtppool_core.process.log_limit import (
    LIMIT_SECONDS,
    MAX_CAUSES,
    MAX_LINES,
    MAX_LINES_BELOW_WARNING,
    LimitedHandler,
    LineLimit,
)
from rtppool_testing.waiting import until


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.stream = io.StringIO()
        self.handler = LimitedHandler(self.stream, LineLimit(self.clock))
        self.handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def log(self, message: str, *arguments: object, level: int = logging.WARNING, **attributes: object) -> None:
        record = logging.LogRecord("rtp", level, "", 0, message, arguments, None)
        record.__dict__.update(attributes)
        self.handler.handle(record)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_cause_has_at_most_its_lines_in_a_minute(bench: Bench) -> None:
    for number in range(1000):
        bench.log("bad peer %d", number)
    assert bench.lines == [f"WARNING rtp bad peer {number}" for number in range(MAX_LINES)]


def test_the_suppressed_lines_are_counted_in_one_line_when_the_minute_is_over(bench: Bench) -> None:
    for number in range(1000):
        bench.log("bad peer %d", number)
    bench.clock.seconds = LIMIT_SECONDS
    bench.log("another")
    assert bench.lines[MAX_LINES:] == [
        "WARNING rtp more lines of this cause within 60 s were not written",
        "WARNING rtp another",
    ]


def test_the_count_and_the_cause_are_fields() -> None:
    limit = LineLimit(Clock())
    for _ in range(MAX_LINES + 7):
        limit.admit(logging.makeLogRecord({"name": "rtp", "levelno": logging.WARNING, "msg": "bad peer %d"}))
    (report,) = limit.begin_window()
    assert report.__dict__["fields"] == {"suppressed": 7, "cause": "bad peer %d"}
    assert limit.begin_window() == []


def test_any_minute_has_fewer_than_ten_lines_of_one_cause(bench: Bench) -> None:
    times: list[float] = []
    for tenth in range(6000):
        bench.clock.seconds = tenth / 10
        written = len(bench.lines)
        bench.log("bad peer")
        times += [bench.clock.seconds] * (len(bench.lines) - written)
    assert max(sum(begin <= at < begin + 60 for at in times) for begin in times) < 10


def test_causes_do_not_take_each_others_lines(bench: Bench) -> None:
    for _ in range(100):
        bench.log("one")
        bench.log("two")
        bench.log("finding", cause="FileLimit")
        bench.log("finding", cause="BufferLimit")
        bench.log("one", level=logging.ERROR)
    assert len(bench.lines) == 5 * MAX_LINES


def test_a_message_that_asyncio_formatted_itself_is_one_cause(bench: Bench) -> None:
    for number in range(100):
        bench.log(f"socket.accept() out of system resource\nsocket: <fd={number}>")
    assert len([line for line in bench.lines if "out of system resource" in line]) == MAX_LINES


def test_ordinary_lines_have_a_bound_of_their_own(bench: Bench) -> None:
    for _ in range(MAX_LINES_BELOW_WARNING + 10):
        bench.log("call ended", level=logging.INFO)
    assert len(bench.lines) == MAX_LINES_BELOW_WARNING


def test_causes_without_end_share_the_last_bound(bench: Bench) -> None:
    for number in range(10 * MAX_CAUSES):
        bench.log("mistake", cause=str(number))
    assert len(bench.lines) == MAX_CAUSES + MAX_LINES


async def test_the_count_comes_without_a_further_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_limit, "LIMIT_SECONDS", 0.2)
    stream = io.StringIO()
    handler = LimitedHandler(stream)
    for _ in range(MAX_LINES + 1):
        handler.handle(logging.makeLogRecord({"name": "rtp", "levelno": logging.WARNING, "msg": "bad peer"}))
    await until(lambda: "more lines of this cause" in stream.getvalue())


def test_the_count_is_written_at_the_end_of_the_process(bench: Bench) -> None:
    for _ in range(MAX_LINES + 1):
        bench.log("bad peer")
    bench.handler.close()
    assert "more lines of this cause" in bench.lines[-1]


def test_a_process_that_can_start_no_thread_counts_at_the_next_record(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_timer: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refuse)
    for _ in range(MAX_LINES + 1):
        bench.log("bad peer")
    bench.clock.seconds = LIMIT_SECONDS
    bench.log("bad peer")
    assert "more lines of this cause" in bench.lines[MAX_LINES]

"""Polls of real HTTP servers."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import structs

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.report import CallsReport, HistogramExport, HostReport, Report, WindowReport, Windows
from rtppool_core.process.secret_file import SecretFile
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.observed import POLL_SECONDS, SILENT_AFTER_SECONDS, LastReport
from rtppool_operator.relays.polling import (
    MAX_POLLS_IN_FLIGHT,
    MEASURED,
    MIN_PAUSE_SECONDS,
    MISSED_POLLS,
    MOVED,
    URGENT,
    Poller,
)
from rtppool_operator.relays.relay_http import MAX_BODY_BYTES
from rtppool_operator.relays.reports import read_report

MakeReport = Callable[..., Report]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Relay:
    """Answers `/status` as the test sets it."""

    def __init__(self) -> None:
        self.answer: Callable[[], web.StreamResponse] = lambda: web.Response(status=404)
        self.delay_seconds = 0.0
        self.tokens: list[str | None] = []
        self.queries: list[dict[str, str]] = []
        self.port = 0

    async def status(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization"))
        self.queries.append(dict(request.query))
        await asyncio.sleep(self.delay_seconds)
        return self.answer()

    def pod(self) -> RelayPod:
        return RelayPod("relay-a", "uid-a", "a", "127.0.0.1", self.port)


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    held = Relay()
    app = web.Application()
    app.router.add_get("/status", held.status)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    held.port = runner.addresses[0][1]
    yield held
    await runner.cleanup()


@pytest.fixture
async def poller(tmp_path: Path) -> AsyncIterator[Poller]:
    token = tmp_path / "token"
    token.write_text("secret\n")
    asked = Poller(SecretFile("RELAY_TOKEN_FILE", token), monotonic=lambda: 77.0, unix=lambda: 1_700_000_000.9)
    yield asked
    await asked.close()


async def test_a_report_is_kept_with_the_time_it_was_heard(
    relay: Relay, poller: Poller, make_report: MakeReport
) -> None:
    relay.answer = lambda: web.json_response(to_json(make_report()))
    await poller.ask(relay.pod())
    last = poller.last_reports["uid-a"]
    assert last == LastReport.of(make_report(), 77.0, 1_700_000_000)
    assert relay.tokens == ["Bearer secret"]


async def test_a_large_report_is_read_to_its_end(
    relay: Relay, poller: Poller, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    window = structs.replace(
        make_window(100), round_trip=HistogramExport(tuple((bucket, 3) for bucket in range(500)), 1000, 10**9)
    )
    large = make_report(not_ready=("x" * 4_000,) * 100, windows=Windows(calls=window))
    relay.answer = lambda: web.json_response(to_json(large))
    await poller.ask(relay.pod())
    assert poller.last_reports["uid-a"].report == large


async def test_a_relay_that_is_slow_is_given_up_after_three_seconds_and_the_last_report_stands(
    relay: Relay, poller: Poller, make_report: MakeReport
) -> None:
    relay.answer = lambda: web.json_response(to_json(make_report()))
    await poller.ask(relay.pod())
    relay.delay_seconds = 3.3
    await poller.ask(relay.pod())
    assert "did not answer within 3 s" in poller.failures["uid-a"].reason
    assert "uid-a" in poller.last_reports
    assert (poller.polls, poller.failed_polls) == (2, 1)


async def test_a_relay_that_is_not_there_says_so(poller: Poller) -> None:
    await poller.ask(RelayPod("relay-a", "uid-a", "a", "127.0.0.1", 1))
    assert "127.0.0.1:1 can't be connected" in poller.failures["uid-a"].reason


async def test_a_refused_token_is_told(relay: Relay, poller: Poller) -> None:
    relay.answer = lambda: web.Response(status=401)
    await poller.ask(relay.pod())
    assert "it answered 401" in poller.failures["uid-a"].reason


async def test_a_report_at_the_bound_of_its_size_is_read_and_a_longer_one_is_not(
    relay: Relay, poller: Poller, make_report: MakeReport
) -> None:
    report = json.dumps(to_json(make_report())).encode()
    relay.answer = lambda: web.Response(body=report.ljust(MAX_BODY_BYTES))
    await poller.ask(relay.pod())
    assert poller.failures == {}
    relay.answer = lambda: web.Response(body=report.ljust(MAX_BODY_BYTES + 1))
    await poller.ask(relay.pod())
    assert "its report is larger than 4194304 bytes" in poller.failures["uid-a"].reason


async def test_a_compressed_report_is_not_decompressed(relay: Relay, poller: Poller) -> None:
    bomb = gzip.compress(b"[" * (64 << 20))
    relay.answer = lambda: web.Response(body=bomb, headers={"Content-Encoding": "gzip"})
    await poller.ask(relay.pod())
    assert "not JSON" in poller.failures["uid-a"].reason


async def test_a_rotated_token_is_sent_with_the_next_poll(relay: Relay, poller: Poller, tmp_path: Path) -> None:
    await poller.ask(relay.pod())
    token = tmp_path / "token"
    token.with_suffix(".new").write_text("rotated\n")
    token.with_suffix(".new").rename(token)
    await poller.ask(relay.pod())
    token.unlink()
    await poller.ask(relay.pod())
    assert relay.tokens == ["Bearer secret", "Bearer rotated", "Bearer rotated"], "and the last one is kept"


async def test_without_a_readable_token_relays_are_polled_without_one(relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff")
    asked = Poller(SecretFile("RELAY_TOKEN_FILE", tmp_path / "token"))
    await asked.ask(relay.pod())
    await asked.close()
    assert relay.tokens == [None]


async def test_an_error_of_any_kind_from_one_relay_stops_no_other(
    relay: Relay, poller: Poller, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(body: bytes, node: str) -> Report:
        if body == b"odd":
            raise RecursionError
        return read_report(body, node)

    monkeypatch.setattr("rtppool_operator.relays.polling.read_report", read)
    answers = iter([web.Response(body=b"odd"), web.json_response(to_json(make_report()))])
    relay.answer = lambda: next(answers)
    await poller.ask(relay.pod())
    await poller.ask(replace(relay.pod(), uid="uid-b"))
    assert [failure.reason for failure in poller.failures.values()] == [f"127.0.0.1:{relay.port}: RecursionError"]
    assert len(poller.last_reports) == 1


async def test_a_relay_that_is_gone_is_forgotten(relay: Relay, poller: Poller, make_report: MakeReport) -> None:
    relay.answer = lambda: web.json_response(to_json(make_report()))
    await poller.ask(relay.pod())
    poller.keep_only([])
    assert (poller.last_reports, poller.failures) == ({}, {})


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[int]]]:
    """Serve `/status` with a handler, and return the port."""
    runners: list[web.AppRunner] = []

    async def begin(status: Handler) -> int:
        app = web.Application()
        app.router.add_get("/status", status)
        runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        return int(runner.addresses[0][1])

    yield begin
    for runner in runners:
        await runner.cleanup()


async def test_relays_that_hang_delay_no_other(
    relay: Relay, poller: Poller, make_report: MakeReport, serve: Callable[[Handler], Awaitable[int]]
) -> None:
    ended = asyncio.Event()
    coming = asyncio.Semaphore(0)

    async def silent(_request: web.Request) -> web.StreamResponse:
        coming.release()
        await ended.wait()
        return web.Response(status=503)

    port = await serve(silent)
    relay.answer = lambda: web.json_response(to_json(make_report()))
    many = [RelayPod(f"silent-{n}", f"uid-{n}", "a", "127.0.0.1", port) for n in range(2 * MAX_POLLS_IN_FLIGHT)]
    await asyncio.gather(*(poller.ask(each) for each in many))
    again = [asyncio.create_task(poller.ask(each)) for each in many]
    for _ in range(2 * len(many)):
        await coming.acquire()
    await poller.ask(relay.pod())
    assert "uid-a" in poller.last_reports
    assert not any(each.done() for each in again)
    ended.set()
    await asyncio.gather(*again)


SCHEME = "loglinear64-1us-60s"
IMPOSSIBLE = {"counts": [[-1, 1]], "minNs": 0, "maxNs": 1, "scheme": SCHEME}


def without_ports(document: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in document.items() if name != "ports"})


def with_an_impossible_bucket(document: dict[str, Any]) -> str:
    return json.dumps(document | {"windows": {"calls": document["windows"]["calls"] | {"roundTrip": IMPOSSIBLE}}})


def with_impossible_bursts(document: dict[str, Any]) -> str:
    names = (
        "expected",
        "lost",
        "runs",
        "bursts",
        "burstPackets",
        "burstLost",
        "burstNs",
        "gaps",
        "gapPackets",
        "gapNs",
    )
    bursts = dict.fromkeys(names, 1) | {"lost": 10**400}
    return json.dumps(document | {"windows": {"calls": document["windows"]["calls"] | {"bursts": bursts}}})


@pytest.mark.parametrize(
    "spoil",
    [
        with_impossible_bursts,
        lambda _: "not json",
        lambda _: json.dumps([]),
        lambda document: json.dumps(document | {"version": 2}),
        lambda document: json.dumps(document | {"ready": "yes"}),
        lambda _: "[" * 200_000,
        lambda document: json.dumps(document | {"somethingNew": "nested"}).replace('"nested"', "[" * 200_000),
        lambda document: json.dumps(document | {"node": "another"}),
        lambda document: json.dumps(document).replace(SCHEME, "another"),
        without_ports,
        with_an_impossible_bucket,
    ],
)
async def test_what_is_no_report_of_this_version_is_not_kept(
    relay: Relay,
    poller: Poller,
    make_report: MakeReport,
    make_window: Callable[..., WindowReport],
    spoil: Callable[[Any], str],
) -> None:
    text = spoil(to_json(make_report(windows=Windows(calls=make_window(100)))))
    relay.answer = lambda: web.Response(text=text)
    await poller.ask(relay.pod())
    assert "uid-a" not in poller.last_reports
    assert poller.failures["uid-a"].reason


async def test_a_relay_of_another_version_is_told_from_one_that_is_not_there(relay: Relay, poller: Poller) -> None:
    relay.answer = lambda: web.json_response({"version": 2, "another": "shape"})
    await poller.ask(relay.pod())
    failure = poller.failures["uid-a"]
    assert failure.incompatible
    assert "its report has version 2; accepted is 1" in failure.reason
    relay.answer = lambda: web.Response(status=503)
    await poller.ask(relay.pod())
    assert not poller.failures["uid-a"].incompatible


async def test_a_relay_that_answers_for_another_node_is_told(
    relay: Relay, poller: Poller, make_report: MakeReport
) -> None:
    relay.answer = lambda: web.json_response(to_json(make_report(node="b")))
    await poller.ask(relay.pod())
    assert "its report is of node 'b'; accepted is its pod's, 'a'" in poller.failures["uid-a"].reason


def test_unknown_fields_of_a_newer_relay_are_ignored(make_report: MakeReport) -> None:
    document = to_json(make_report()) | {"somethingNew": 1}
    assert read_report(json.dumps(document).encode()) == make_report()


async def test_a_relay_is_settled_by_an_answer_or_by_three_missed_polls(
    relay: Relay, poller: Poller, make_report: MakeReport
) -> None:
    for missed in range(MISSED_POLLS):
        assert not poller.is_settled("uid-a"), missed
        await poller.ask(relay.pod())
    assert poller.is_settled("uid-a"), "it is silent"
    poller.keep_only(())
    assert not poller.is_settled("uid-a")
    relay.answer = lambda: web.json_response(to_json(make_report(node="a")))
    await poller.ask(relay.pod())
    assert poller.is_settled("uid-a")
    poller.keep_only([])
    assert not poller.is_settled("uid-a"), "it is gone"


def holding(make_report: MakeReport, **changes: Any) -> web.Response:
    return web.json_response(to_json(make_report(position="start-1", **changes)))


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def timed(clock: Clock) -> AsyncIterator[Poller]:
    asked = Poller(None, monotonic=clock, unix=lambda: 1_700_000_000.0, uniform=lambda _least, most: most)
    yield asked
    await asked.close()


async def test_a_relay_that_holds_requests_is_asked_for_what_follows_its_last_report(
    relay: Relay, timed: Poller, clock: Clock, make_report: MakeReport
) -> None:
    relay.answer = lambda: holding(make_report)
    assert await timed.ask(relay.pod()) == pytest.approx(MIN_PAUSE_SECONDS)
    relay.answer = lambda: web.Response(status=204)
    for elapsed, waits in ((0, 10), (10, 4), (13.5, 1)):
        clock.now = 100.0 + elapsed
        await timed.ask(relay.pod())
        assert relay.queries[-1] == {"after": "start-1", "waitSeconds": str(waits)}
        until_seconds = timed.last_reports["uid-a"].until_seconds
        assert until_seconds == clock.now + SILENT_AFTER_SECONDS, "an answer without a report is an answer"
    relay.answer = lambda: holding(make_report)
    clock.now = 114.0
    await timed.ask(relay.pod())
    assert relay.queries[-1] == {}, "the whole report is due"
    assert timed.failures == {}


async def test_of_more_than_a_thousand_relays_each_sends_a_whole_report_every_minute(
    relay: Relay, timed: Poller, clock: Clock, make_report: MakeReport
) -> None:
    timed.keep_only([replace(relay.pod(), uid=f"uid-{number}") for number in range(1000)] + [relay.pod()])
    relay.answer = lambda: holding(make_report)
    await timed.ask(relay.pod())
    relay.answer = lambda: web.Response(status=204)
    clock.now = 158.5
    await timed.ask(relay.pod())
    assert relay.queries[-1] == {"after": "start-1", "waitSeconds": "1"}


async def test_a_relay_that_has_missed_an_answer_is_asked_plainly(
    relay: Relay, timed: Poller, make_report: MakeReport
) -> None:
    relay.answer = lambda: holding(make_report)
    await timed.ask(relay.pod())
    relay.answer = lambda: web.Response(status=503)
    assert await timed.ask(relay.pod()) == POLL_SECONDS
    await timed.ask(relay.pod())
    assert [bool(query) for query in relay.queries] == [False, True, False]


async def test_a_relay_that_answers_at_once_is_asked_every_two_seconds_and_sooner_while_it_is_behind(
    relay: Relay, timed: Poller, make_report: MakeReport
) -> None:
    relay.answer = lambda: web.json_response(to_json(make_report()))
    assert await timed.ask(relay.pod()) == POLL_SECONDS
    assert await timed.ask(relay.pod(), is_behind=True) == pytest.approx(MIN_PAUSE_SECONDS)
    assert relay.queries == [{}, {}]


async def test_only_what_changes_a_condition_is_urgent(relay: Relay, timed: Poller, make_report: MakeReport) -> None:
    reports = iter(
        [
            holding(make_report),
            holding(make_report, calls=CallsReport(3, 3, 0, 0, 0, {})),
            holding(make_report, applied_generation=4),
            web.Response(status=204),
        ]
    )
    relay.answer = lambda: next(reports)
    told = []
    for _ in range(4):
        await timed.ask(relay.pod())
        told.append((timed.news.is_set(), timed.take(URGENT), timed.take(MOVED)))
    both = {"uid-a"}, {"uid-a"}
    assert told == [(True, *both), (False, set(), {"uid-a"}), (True, *both), (False, set(), set())]


async def test_a_relay_that_answers_again_and_one_that_becomes_silent_are_urgent(
    relay: Relay, timed: Poller, make_report: MakeReport
) -> None:
    relay.answer = lambda: web.Response(status=503)
    told = []
    for _ in range(MISSED_POLLS):
        await timed.ask(relay.pod())
        told.append(timed.take(URGENT))
    assert told == [set(), set(), {"uid-a"}]
    relay.answer = lambda: holding(make_report)
    await timed.ask(relay.pod())
    assert timed.take(URGENT) == {"uid-a"}


async def test_a_report_without_figures_keeps_those_of_the_last_whole_one(
    relay: Relay, timed: Poller, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    windows = Windows(calls=make_window(100))
    reports = iter(
        [
            holding(make_report, windows=windows, host=HostReport(60)),
            holding(make_report, applied_generation=4, whole=False),
        ]
    )
    relay.answer = lambda: next(reports)
    await timed.ask(relay.pod())
    assert timed.take(MEASURED) == {"uid-a"}
    await timed.ask(relay.pod())
    report = timed.last_reports["uid-a"].report
    assert (report.windows, report.host, report.whole) == (windows, HostReport(60), True)
    assert report.applied_generation == 4
    assert timed.take(MEASURED) == set()


async def test_the_first_figures_of_calls_are_asked_for_every_two_seconds(
    relay: Relay, timed: Poller, clock: Clock, make_report: MakeReport, make_window: Callable[..., WindowReport]
) -> None:
    calls = CallsReport(1, 1, 0, 0, 0, {})
    relay.answer = lambda: holding(make_report, calls=calls)
    await timed.ask(relay.pod())
    clock.now += 2
    await timed.ask(relay.pod())
    assert relay.queries == [{}, {}]
    timed.take(MOVED)
    relay.answer = lambda: holding(make_report, calls=calls, windows=Windows(calls=make_window(100)))
    clock.now += 2
    await timed.ask(relay.pod())
    assert timed.take(MOVED) == {"uid-a"}, "they are no figures that moved, but the first ones"
    relay.answer = lambda: web.Response(status=204)
    clock.now += 2
    await timed.ask(relay.pod())
    assert relay.queries[-1] == {"after": "start-1", "waitSeconds": "10"}


@pytest.mark.parametrize("position", ["", "a b", "../../secret", "x" * 65, "\n", "ü", "?after=1"])
async def test_a_position_that_is_no_plain_word_is_not_sent_back(
    relay: Relay, timed: Poller, make_report: MakeReport, position: str
) -> None:
    relay.answer = lambda: web.json_response(to_json(make_report(position=position)))
    await timed.ask(relay.pod())
    assert "uid-a" not in timed.last_reports
    assert "position" in timed.failures["uid-a"].reason


async def test_a_stall_of_this_process_counts_for_no_relay(
    relay: Relay, timed: Poller, clock: Clock, make_report: MakeReport
) -> None:
    relay.answer = lambda: holding(make_report)
    timed.tick()
    await timed.ask(relay.pod())
    clock.now += 60
    assert timed.silence_seconds() == 102.0, "no tick came since"
    timed.tick()
    assert timed.silence_seconds() == clock.now
    assert not timed.last_reports["uid-a"].is_stale(timed.silence_seconds())


@pytest.mark.parametrize(
    ("position", "missed_at_seconds", "silent_at_seconds"),
    [(None, None, 6.0), (None, 2.0, 6.0), ("p", None, 15.0), ("p", 3.0, 9.0), ("p", 11.0, 15.0)],
)
def test_a_relay_is_silent_six_seconds_after_its_first_missed_answer_and_fifteen_after_its_last_one(
    make_report: MakeReport, position: str | None, missed_at_seconds: float | None, silent_at_seconds: float
) -> None:
    last = LastReport.of(make_report(position=position), 0.0, 0)
    for missed_at in () if missed_at_seconds is None else (missed_at_seconds, missed_at_seconds + 2):
        last = last.missed(missed_at)
    assert not last.is_stale(silent_at_seconds)
    assert last.is_stale(silent_at_seconds + 0.1)

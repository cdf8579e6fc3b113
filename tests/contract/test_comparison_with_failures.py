"""Callers are served and calls adopted while Asterisk refuses requests, is slow, or cannot describe a channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from exchange import (
    APPLICATION,
    IDS,
    Exchange,
    Moment,
    connected_again,
    counted,
    nothing_is_left,
    running_exchange,
    talking_call,
    talks,
    until,
)

from rtppool_callgen.stand_in.ari_server import no_interference
from rtppool_callgen.stand_in.switchboard import SwitchboardError
from rtppool_relay.ari import session
from rtppool_relay.ari.messages import AriEvent
from rtppool_relay.calls import entrance, registry, returns
from rtppool_relay.calls.registry import MAX_CALLS_IN_SETUP

SERVED_SECONDS = 5.0
LONG = 3600.0
OUR_APPLICATION = f"/applications/{APPLICATION}"
BY_CHANNEL, BY_BRIDGE = "/channels/*", "/bridges/*"


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with running_exchange(request_seconds=4.0) as running:
        yield running


def fail(exchange: Exchange, failure: str, *paths: str) -> None:
    """Let all GET requests of these paths fail: with 500, with 403, or with no answer (`slow`)."""

    async def interfere(method: str, path: str, moment: Moment) -> None:
        parent = f"{path.rpartition('/')[0]}/*"
        if method != "GET" or moment == "after" or not {path, parent} & set(paths):
            return
        if failure == "slow":
            await asyncio.sleep(LONG)
        raise SwitchboardError(int(failure), "Allocation failed")

    exchange.stand_in.interfere = interfere


def findings(exchange: Exchange) -> str:
    return " ".join(finding.sentence for finding in exchange.comparison.findings())


@pytest.mark.parametrize("failure", ["500", "403", "slow"])
@pytest.mark.parametrize(
    "paths",
    [
        ("/asterisk/info",),
        ("/asterisk/variable",),
        ("/channels",),
        ("/bridges",),
        ("/channels", "/bridges"),
        ("/bridges", BY_BRIDGE),
        (BY_CHANNEL,),
        (OUR_APPLICATION,),
        ("/applications",),
    ],
    ids=" ".join,
)
async def test_a_request_that_fails_keeps_no_call_from_its_adoption_and_no_caller_from_being_served(
    exchange: Exchange, paths: tuple[str, ...], failure: str
) -> None:
    caller = await talking_call(exchange)
    fail(exchange, failure, *paths)
    async with running_exchange(2.0, exchange) as second:
        await until(lambda: second.calls.report().adopted == 1, "the call is adopted", SERVED_SECONDS)
        newcomer = exchange.stand_in.place_call(APPLICATION)
        await until(
            lambda: [call.state for call in second.calls.live_calls()] == ["talking"] * 2, "both talk", SERVED_SECONDS
        )
        assert second.session.report().state == "Connected"
        ports = {call.port for call in second.calls.live_calls()}
        assert len(ports) == 2
        for each in (caller, newcomer):
            exchange.stand_in.hang_up(each)
        exchange.stand_in.interfere = no_interference
        await nothing_is_left(second)


async def test_a_foreign_odd_channel_is_a_finding_with_asterisk_s_words_while_it_lives(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    caller = await talking_call(exchange)
    foreign = exchange.stand_in.place_call(None, is_odd=True)
    await connected_again(exchange)
    await until(lambda: 'GET /channels: Asterisk answered 500 {"error": "Allocation failed"}' in findings(exchange), "")
    report = exchange.session.report()
    assert (report.state, report.reason) == ("Connected", None)
    assert talks(exchange)
    await exchange.comparison.compare()
    assert len([line for line in caplog.messages if "Allocation failed" in line]) == 1
    exchange.stand_in.switchboard.end_in_dialplan(foreign)
    await exchange.comparison.compare()
    assert exchange.comparison.findings() == ()
    assert "Asterisk answers all requests of the comparison again" in caplog.messages
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)


async def test_an_odd_caller_is_served_within_five_seconds_counted_once_and_its_end_is_noticed(
    exchange: Exchange,
) -> None:
    ordinary = await talking_call(exchange)
    bad = exchange.stand_in.place_call(APPLICATION, is_odd=True)
    await until(
        lambda: [call.state for call in exchange.calls.live_calls()] == ["talking"] * 2,
        "the odd caller talks",
        SERVED_SECONDS,
    )
    assert exchange.stand_in.switchboard.channels[bad].state == "Up"
    await connected_again(exchange)
    await asyncio.sleep(session.CHECK_LIST_SECONDS + 1)
    assert exchange.calls.report().arrived == 2
    assert exchange.calls.active_calls == 2
    exchange.stand_in.hang_up(bad)
    await until(lambda: exchange.calls.active_calls == 1, "its end is noticed", SERVED_SECONDS)
    assert exchange.calls.report().ended_by == {"callerGone": 1}
    exchange.stand_in.hang_up(ordinary)
    await nothing_is_left(exchange)
    counted(exchange)


async def test_an_odd_caller_who_cannot_be_served_is_given_back_with_the_reason(exchange: Exchange) -> None:
    held = [exchange.ports.lease(0.0) for _ in exchange.ports.range]
    exchange.stand_in.place_call(APPLICATION, is_odd=True)
    await until(lambda: bool(exchange.stand_in.ended), "the odd caller is given back", SERVED_SECONDS)
    assert exchange.stand_in.ended[0].refused == "NoFreePort"
    await asyncio.sleep(session.CHECK_LIST_SECONDS + 1)
    assert exchange.calls.report().refused == {"NoFreePort": 1}
    for port in held:
        exchange.ports.release(port, 0.0)


async def test_an_odd_caller_from_before_the_relay_s_start_is_served_and_one_who_talks_is_adopted(
    exchange: Exchange,
) -> None:
    talking = exchange.stand_in.place_call(APPLICATION, is_odd=True)
    await until(lambda: talks(exchange), "the odd caller talks")
    with exchange.deaf():
        waiting = exchange.stand_in.place_call(APPLICATION, is_odd=True)
        async with running_exchange(4.0, exchange) as second:
            await until(lambda: second.calls.report().adopted == 1, "the odd call is adopted")
            await until(lambda: [call.state for call in second.calls.live_calls()] == ["talking"] * 2, "both talk")
            assert second.calls.report().arrived == 2
            for each in (talking, waiting):
                exchange.stand_in.hang_up(each)
            await nothing_is_left(second)
            second_queue = exchange.stand_in.hub._queues.get(APPLICATION)
        assert second_queue is not None


async def test_fifty_calls_are_adopted_and_no_port_is_shared_while_callers_arrive_and_channels_are_not_listed() -> None:
    async with running_exchange(4.0, ports_in_range=101) as first:
        stand_in = first.stand_in
        callers = [stand_in.place_call(APPLICATION) for _ in range(50)]
        await until(lambda: [call.state for call in first.calls.live_calls()] == ["talking"] * 50, "50 talk")
        ports = {call.channel_id: call.port for call in first.calls.live_calls()}
        stand_in.place_call(None, is_odd=True)
        async with running_exchange(4.0, first) as second:
            for _ in range(40):
                callers.append(stand_in.place_call(APPLICATION))
                await asyncio.sleep(0.05)
            await until(lambda: [call.state for call in second.calls.live_calls()] == ["talking"] * 90, "90 talk")
            live = second.calls.live_calls()
            assert second.calls.report().adopted == 50
            assert {call.channel_id: call.port for call in live if call.adopted} == ports
            assert len({call.port for call in live}) == 90
            media = [name for name in stand_in.switchboard.channels if IDS.parse(name)]
            assert len(media) == 90


async def test_a_new_call_gets_no_port_before_the_media_channels_have_been_asked(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "MAX_WAIT_SECONDS", 60.0)
    caller = await talking_call(exchange)
    port, answers = exchange.calls.live_calls()[0].port, asyncio.Event()

    async def interfere(method: str, path: str, moment: Moment) -> None:
        if method == "GET" and moment == "before" and (path == "/channels" or path.endswith("_media")):
            await answers.wait()

    exchange.stand_in.interfere = interfere
    async with running_exchange(30.0, exchange) as second:
        exchange.stand_in.place_call(APPLICATION)
        await until(lambda: second.session.report().state == "Connected", "connected")
        await asyncio.sleep(0.5)
        assert [call.port for call in second.calls.live_calls()] == [None]
        answers.set()
        await until(lambda: [call.state for call in second.calls.live_calls()] == ["talking"] * 2, "both talk")
        assert {call.port for call in second.calls.live_calls() if call.channel_id == caller} == {port}


async def test_at_most_a_second_is_waited_for_the_first_comparison(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "MAX_WAIT_SECONDS", 0.1)
    fail(exchange, "slow", "/channels", "/bridges", OUR_APPLICATION, BY_CHANNEL, BY_BRIDGE, "/asterisk/info")
    # The exchange runs once it is connected, and each request of the comparison would take longer than that wait.
    async with running_exchange(30.0, exchange) as second:
        assert second.session.report().state == "Connected"
        exchange.stand_in.place_call(APPLICATION)
        await until(lambda: bool(exchange.stand_in.ended), "the caller is given back")
        assert exchange.stand_in.ended[0].refused == "NotReady"


# Rights.


async def test_a_user_who_may_not_write_is_found_at_connect_and_a_caller_is_counted_once(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "CHECK_RIGHTS_SECONDS", 0.5)
    exchange.stand_in.read_only = True
    await connected_again(exchange)
    report = exchange.session.report()
    assert report.state == "Unauthorized"
    assert "may not POST" in (report.reason or "")
    caller = exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.calls.report().refused == {"NotReady": 1}, "the caller is refused")
    for _ in range(3):
        await exchange.comparison.compare()
        await exchange.comparison.check_list()
    await asyncio.sleep(1)
    counts = exchange.calls.report()
    assert (counts.arrived, counts.accepted, counts.active, counts.cut) == (1, 0, 0, 0)
    assert exchange.stand_in.callers() == [caller]
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]
    exchange.stand_in.read_only = False
    await until(lambda: bool(exchange.stand_in.ended), "the caller is given back once rights are there")
    assert exchange.stand_in.ended[0].refused == "NotReady"
    await until(lambda: exchange.session.report().state == "Connected", "connected")
    await talking_call(exchange)
    assert exchange.calls.report().arrived == 2


async def test_missing_rights_are_back_within_five_seconds_of_their_repair(exchange: Exchange) -> None:
    exchange.stand_in.read_only = True
    await connected_again(exchange)
    assert exchange.session.report().state == "Unauthorized"
    exchange.stand_in.read_only = False
    async with asyncio.timeout(30):
        await until(lambda: exchange.session.report().state == "Connected", "rights are back")


async def test_rights_that_are_lost_under_a_call_are_found_and_the_call_goes_on(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CHECK_RIGHTS_SECONDS", 0.2)
    await connected_again(exchange)
    caller = await talking_call(exchange)
    exchange.stand_in.read_only = True
    await until(lambda: exchange.session.report().state == "Unauthorized", "found")
    await exchange.comparison.compare()
    assert talks(exchange)
    exchange.stand_in.read_only = False
    await until(lambda: exchange.session.report().state == "Connected", "rights are back")
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)


# Bounds.


async def test_further_callers_are_refused_while_too_many_calls_are_being_set_up(exchange: Exchange) -> None:
    answers = asyncio.Event()

    async def interfere(_method: str, path: str, _moment: Moment) -> None:
        if path.endswith(("/answer", "/continue")):
            await answers.wait()

    exchange.stand_in.interfere = interfere
    more = 40
    for _ in range(MAX_CALLS_IN_SETUP + more):
        exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.calls.report().refused.get("Overloaded") == more, "the callers beyond are refused")
    assert exchange.calls.active_calls == MAX_CALLS_IN_SETUP
    answers.set()
    await until(
        lambda: len(exchange.stand_in.ended) == MAX_CALLS_IN_SETUP + more - len(exchange.ports.range), "given back"
    )
    reasons = [call.refused for call in exchange.stand_in.ended]
    assert reasons.count("Overloaded") == more
    counted(exchange)


async def test_callers_beyond_the_bound_of_those_who_wait_for_their_return_are_not_counted_until_there_is_room(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_CALLS_IN_SETUP", 0)
    monkeypatch.setattr(returns, "MAX_UNRETURNED", 3)
    exchange.stand_in.read_only = True
    for _ in range(5):
        exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.calls.report().refused == {"Overloaded": 3}, "three wait")
    await exchange.comparison.compare()
    assert exchange.calls.report().arrived == 3
    exchange.stand_in.read_only = False
    for _ in range(3):
        await exchange.comparison.compare()
        await asyncio.sleep(0.3)
    await until(lambda: len(exchange.stand_in.ended) == 5, "all are given back")
    assert exchange.calls.report().arrived == 5


# Failures inside the relay.


async def test_an_unexpected_error_in_a_comparison_or_an_event_ends_neither_the_connection_nor_the_next_comparison(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await talking_call(exchange)
    real = registry.CallRegistry.handle
    broken = 0

    def handle(self: registry.CallRegistry, event: AriEvent) -> None:
        nonlocal broken
        broken += 1
        if broken == 1:
            raise RecursionError("a bug")
        real(self, event)

    monkeypatch.setattr(registry.CallRegistry, "handle", handle)
    monkeypatch.setattr(session, "SWEEP_SECONDS", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(type(exchange.comparison), "_settle", lambda *_: 1 / 0)
        exchange.calls.compare_soon.set()
        await until(lambda: any("ZeroDivisionError" in line for line in caplog.messages), "the comparison failed")
        exchange.stand_in.place_call(APPLICATION)
        exchange.stand_in.place_call(APPLICATION)
        await until(lambda: exchange.calls.active_calls >= 2, "a caller is served")
    assert exchange.session.report().reconnects == 0
    assert broken > 1
    for each in exchange.stand_in.callers():
        exchange.stand_in.hang_up(each)
    await nothing_is_left(exchange)

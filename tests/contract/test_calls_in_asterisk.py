"""Calls of a relay and changes in Asterisk: other clients, orphans, lost events, a restart of Asterisk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from exchange import (
    APPLICATION,
    IDS,
    Exchange,
    Moment,
    caller_hangs_up,
    connected_again,
    nothing_is_left,
    running_exchange,
    talking_call,
    talks,
    until,
)

from rtppool_callgen.stand_in.ari_server import no_interference
from rtppool_callgen.stand_in.switchboard import SwitchboardError
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.calls import comparison
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.registry import ENDED_RECENTLY_SECONDS, SOON_SECONDS
from rtppool_relay.calls.sound import SILENT_AFTER_SECONDS


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with running_exchange(request_seconds=4.0) as running:
        yield running


async def test_orphans_of_this_relay_are_deleted_on_connect_and_others_are_left_alone(exchange: Exchange) -> None:
    board, other = exchange.stand_in.switchboard, CallIds.of_node("node-2")
    board.create_bridge(IDS.bridge("gone"))
    board.create_bridge(other.bridge("alive"))
    board.create_bridge("another-client")
    board.register("another")
    exchange.stand_in.create_media(IDS.media("gone"), APPLICATION, "127.0.0.1:9", "ulaw")
    exchange.stand_in.create_media(IDS.media("not-ours"), "another", "127.0.0.1:9", "ulaw")
    await connected_again(exchange)
    await until(lambda: list(board.channels) == [IDS.media("not-ours")], "orphaned channel deleted")
    await until(lambda: len(board.bridges) == 2, "orphaned bridge deleted")
    assert set(board.bridges) == {other.bridge("alive"), "another-client"}
    assert exchange.calls.report().orphans_deleted == 2


async def test_a_caller_whose_bridge_is_taken_away_goes_back_to_the_dialplan(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    exchange.stand_in.switchboard.delete_bridge(IDS.bridge(caller))
    await nothing_is_left(exchange)
    assert exchange.calls.recent_calls()[0].ended_by == "bridgeGone"
    assert exchange.stand_in.ended[0].given_back == "bridgeGone"


async def test_the_port_of_a_caller_learns_of_each_digit(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    exchange.stand_in.switchboard.press_key(caller, "1", 200)
    exchange.stand_in.switchboard.press_key(caller, "#", 90)
    await until(lambda: len(exchange.opened[0].digit_seconds) == 2, "both digits")
    assert exchange.opened[0].digit_seconds == [0.2, 0.09]


async def test_a_third_channel_in_the_bridge_marks_the_call_as_shared(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    board = exchange.stand_in.switchboard
    board.register("conference")
    exchange.stand_in.originate("third", "conference")
    board.channels["third"].application = APPLICATION
    board.add_to_bridge(IDS.bridge(caller), ["third"])
    await until(lambda: exchange.calls.live_calls()[0].shared, "marked as shared")


async def test_a_call_that_ended_while_the_connection_was_down_is_ended_when_it_is_back(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    queue = exchange.stand_in.hub._queues.pop(APPLICATION)  # events are lost now
    exchange.stand_in.hang_up(caller)
    exchange.stand_in.hub._queues[APPLICATION] = queue
    await exchange.comparison.compare()
    await nothing_is_left(exchange)


async def test_a_draining_relay_sends_new_callers_back(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    exchange.draining = True
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: bool(exchange.stand_in.ended), "the second is sent back")
    assert (exchange.stand_in.ended[0].refused, exchange.stand_in.ended[0].answered) == ("Draining", False)
    assert exchange.stand_in.callers() == [caller]
    assert await exchange.calls.cut_all() == 1
    await nothing_is_left(exchange)
    assert exchange.calls.report().cut == 1


async def test_an_orphan_that_stays_keeps_the_relay_from_nothing(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    board = exchange.stand_in.switchboard

    async def stuck(method: str, path: str, moment: Moment) -> None:
        if (method, path, moment) == ("DELETE", f"/channels/{IDS.media('stuck')}", "before"):
            raise SwitchboardError(500, "stuck")

    exchange.stand_in.interfere = stuck
    board.register("another")
    for name in ("stuck", *(f"gone-{number}" for number in range(20))):
        exchange.stand_in.create_media(IDS.media(name), APPLICATION, "127.0.0.1:9", "ulaw")
        board.create_bridge(IDS.bridge(name))
    await connected_again(exchange)
    await talking_call(exchange)
    assert exchange.ours().count(IDS.media("stuck")) == 1
    assert exchange.calls.report().orphans_deleted == 41
    assert len([line for line in caplog.messages if "can't be deleted" in line]) == 1
    exchange.stand_in.interfere = no_interference
    exchange.stand_in.hang_up("standin-1")
    await exchange.comparison.compare()
    await nothing_is_left(exchange)


async def test_a_call_is_adopted_though_an_orphan_stays_and_marked_when_a_third_channel_is_in_it(
    exchange: Exchange,
) -> None:
    board, port = exchange.stand_in.switchboard, exchange.ports.range.start
    board.register("another")
    exchange.stand_in.originate("old", "another")
    board.channels["old"].application = APPLICATION
    exchange.stand_in.create_media(IDS.media("old"), APPLICATION, f"127.0.0.1:{port}", "ulaw")
    board.create_bridge(IDS.bridge("old"))
    exchange.stand_in.originate("third", "another")
    board.add_to_bridge(IDS.bridge("old"), ["old", IDS.media("old"), "third"])
    board.create_bridge(IDS.bridge("stuck"))

    async def stuck(method: str, path: str, moment: Moment) -> None:
        if (method, path, moment) == ("DELETE", f"/bridges/{IDS.bridge('stuck')}", "before"):
            raise SwitchboardError(500, "stuck")

    exchange.stand_in.interfere = stuck
    await exchange.comparison.compare()
    await until(lambda: talks(exchange), "the call is adopted")
    assert (exchange.calls.report().adopted, exchange.calls.report().shared) == (1, 1)
    assert exchange.calls.live_calls()[0].port == port
    exchange.stand_in.interfere = no_interference
    exchange.stand_in.hang_up("old")
    await exchange.comparison.compare()
    await nothing_is_left(exchange)


async def test_a_comparison_that_fails_is_made_again_soon(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "RETRY_SECONDS", 0.2)
    caller = await talking_call(exchange)

    async def fails() -> None:
        raise SwitchboardError(503, "busy")

    exchange.when("GET", "/bridges", "before", fails)
    exchange.stand_in.switchboard.remove_from_bridge(IDS.bridge(caller), caller)
    await until(lambda: exchange.happened, "the comparison failed")
    await nothing_is_left(exchange)
    assert exchange.stand_in.ended[0].given_back == "bridgeGone"


async def test_a_caller_who_hangs_up_after_the_answer_did_not_leave_before_it(exchange: Exchange) -> None:
    exchange.when("POST", "/bridges", "before", lambda: caller_hangs_up(exchange))
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.happened, "the caller hangs up")
    await nothing_is_left(exchange)
    assert exchange.calls.report().left_before_answer == 0
    assert exchange.calls.report().ended_by == {"callerGone": 1}


async def test_the_port_comes_back_when_something_unexpected_happens_in_the_teardown(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    caller = await talking_call(exchange)
    monkeypatch.setattr(AriClient, "set_variable", broken)
    exchange.stand_in.switchboard.delete_bridge(IDS.bridge(caller))
    await until(lambda: exchange.calls.active_calls == 0, "the call has ended")
    assert exchange.ports.report().leased == 0
    assert not exchange.ours()
    monkeypatch.setattr(AriClient, "delete_channel", broken)
    exchange.stand_in.hang_up(caller)
    second = await talking_call(exchange)
    exchange.stand_in.hang_up(second)
    await until(lambda: exchange.calls.active_calls == 0, "the second call has ended")
    assert exchange.ports.report().leased == 0
    monkeypatch.undo()
    await nothing_is_left(exchange)


async def test_a_hang_up_that_shows_first_as_a_refused_request_is_the_caller_s(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    async def vanishes_unheard() -> None:
        del exchange.stand_in.switchboard.channels["standin-1"]

    exchange.when("POST", "/channels/*/answer", "before", vanishes_unheard)
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.happened, "the fault happened")
    await nothing_is_left(exchange)
    assert exchange.calls.report().left_before_answer == 1
    assert exchange.calls.report().ended == 0
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_calls_that_died_with_asterisk_say_so_and_count_as_cut(exchange: Exchange) -> None:
    await talking_call(exchange)
    board = exchange.stand_in.switchboard
    for channel in list(board.channels):
        exchange.stand_in.player.close(channel)
    board.channels.clear()
    board.bridges.clear()
    board.started = "2026-01-01T00:00:00.000+0000"

    async def not_yet() -> None:
        raise SwitchboardError(503, "Asterisk is starting")

    exchange.when("GET", "/channels", "before", not_yet)
    await connected_again(exchange)
    assert exchange.happened
    await nothing_is_left(exchange)
    report = exchange.calls.report()
    assert (report.ended_by, report.cut) == ({"asteriskGone": 1}, 1)


async def test_a_caller_who_hung_up_unheard_while_asterisk_ran_on_is_an_ordinary_end(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    exchange.stand_in.hub.disconnect(APPLICATION)
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)
    assert (exchange.calls.report().ended_by, exchange.calls.report().cut) == ({"callerGone": 1}, 0)


async def test_a_call_that_ends_while_the_answers_of_a_comparison_are_under_way_is_not_adopted_from_them(
    exchange: Exchange,
) -> None:
    caller = await talking_call(exchange)

    lists, answered, ended = {"/channels", "/bridges", f"/applications/{APPLICATION}"}, set[str](), asyncio.Event()

    async def hold_the_answers(method: str, path: str, moment: str) -> None:
        if (method, moment) == ("GET", "after") and path in lists:
            answered.add(path)
            await ended.wait()

    exchange.stand_in.interfere = hold_the_answers
    comparing = asyncio.create_task(exchange.comparison.compare())
    await until(lambda: answered == lists, "every list is under way")
    exchange.stand_in.hang_up(caller)
    await until(lambda: exchange.calls.active_calls == 0, "the call has ended")
    exchange.clock.ahead_seconds += 2 * ENDED_RECENTLY_SECONDS
    ended.set()
    await comparing
    assert exchange.comparison.findings() == ()
    await nothing_is_left(exchange)
    report = exchange.calls.report()
    assert (report.arrived, report.ended_by, report.adopted) == (1, {"callerGone": 1}, 0)


async def test_a_caller_whom_another_client_puts_into_another_bridge_is_released_and_left_there(
    exchange: Exchange,
) -> None:
    caller = await talking_call(exchange)
    board = exchange.stand_in.switchboard
    board.create_bridge("meeting")
    board.add_to_bridge("meeting", [caller])
    await until(lambda: exchange.calls.active_calls == 0, "the call has ended")
    assert exchange.calls.report().ended_by == {"callerMoved": 1}
    await exchange.comparison.compare()
    assert exchange.calls.active_calls == 0
    assert board.bridges["meeting"].channels == [caller]
    board.remove_from_bridge("meeting", caller)
    exchange.clock.ahead_seconds += ENDED_RECENTLY_SECONDS
    await exchange.comparison.compare()
    await until(lambda: talks(exchange), "the caller is taken again when nobody has it")
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)


async def test_a_caller_who_is_taken_out_of_the_bridge_goes_back_to_the_dialplan(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    exchange.stand_in.switchboard.remove_from_bridge(IDS.bridge(caller), caller)
    await nothing_is_left(exchange)
    assert exchange.stand_in.ended[0].given_back == "bridgeGone"


async def test_leaving_and_entering_the_bridge_again_changes_nothing(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    board = exchange.stand_in.switchboard
    board.remove_from_bridge(IDS.bridge(caller), caller)
    board.add_to_bridge(IDS.bridge(caller), [caller])
    await asyncio.sleep(SOON_SECONDS)
    await exchange.comparison.compare()
    assert talks(exchange)
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)


async def test_a_third_channel_that_came_unheard_marks_the_call(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    board = exchange.stand_in.switchboard
    board.register("conference")
    exchange.stand_in.originate("third", "conference")
    board.add_to_bridge(IDS.bridge(caller), ["third"])
    assert exchange.calls.report().shared == 0
    await exchange.comparison.compare()
    assert exchange.calls.report().shared == 1
    exchange.stand_in.hang_up("third")
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)
    assert exchange.calls.report().shared == 0
    assert exchange.calls.recent_calls()[0].shared


async def test_a_call_that_asterisk_sends_nothing_for_is_named_silent(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    caller = await talking_call(exchange)
    exchange.calls.check_sound()
    assert exchange.calls.live_calls()[0].media == "waiting"
    exchange.clock.ahead_seconds += SILENT_AFTER_SECONDS
    exchange.calls.check_sound()
    exchange.calls.check_sound()
    report = exchange.calls.report()
    assert (report.silent, report.went_silent, report.one_way) == (1, 1, 0)
    assert [line for line in caplog.messages if "no RTP has come from Asterisk for 5 s" in line]
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)
    assert exchange.calls.recent_calls()[0].media == "silent"
    assert exchange.calls.report().silent == 0

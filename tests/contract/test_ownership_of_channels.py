"""A channel is ours from its StasisStart to its StasisEnd; the list of the application is corrected, not believed."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from collections.abc import AsyncIterator

import pytest
from exchange import (
    APPLICATION,
    IDS,
    OLD_IDS,
    Exchange,
    connected_again,
    nothing_is_left,
    running_exchange,
    talking_call,
    talks,
    until,
)

from rtppool_relay.ari.rest import AriClient
from rtppool_relay.ari.session import CHECK_LIST_SECONDS
from rtppool_relay.calls.ids import CallIds

STAGING = "staging"


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with running_exchange(request_seconds=4.0) as running:
        running.stand_in.switchboard.register(STAGING)
        yield running


def old_pair(exchange: Exchange, application: str, ids: CallIds = OLD_IDS) -> str:
    """Set up a talking call as an earlier relay did, and return its caller."""
    board, port = exchange.stand_in.switchboard, exchange.ports.range.start
    with exchange.deaf():
        caller = exchange.stand_in.place_call(application)
        board.answer(caller)
        exchange.stand_in.create_media(ids.media(caller), application, f"127.0.0.1:{port}", "ulaw")
        board.create_bridge(ids.bridge(caller))
        board.add_to_bridge(ids.bridge(caller), [caller, ids.media(caller)])
        exchange.stand_in.on_bridged([ids.media(caller)])
    return caller


async def test_a_caller_who_is_moved_to_us_is_served_and_one_who_is_moved_away_is_let_go(exchange: Exchange) -> None:
    board = exchange.stand_in.switchboard
    caller = exchange.stand_in.place_call(STAGING)
    board.move(caller, APPLICATION)
    await until(lambda: talks(exchange), "the caller from the other application talks")
    board.move(caller, STAGING)
    await until(lambda: exchange.calls.active_calls == 0, "the call has ended")
    assert board.channels[caller].application == STAGING
    assert not exchange.stand_in.ended
    assert exchange.calls.report().ended_by == {"callerGone": 1}
    board.move(caller, APPLICATION)
    await until(lambda: talks(exchange), "the caller who came back talks")
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)
    assert exchange.calls.report().arrived == 2


async def test_moves_during_a_lost_connection_are_found_by_the_list_and_not_by_the_dialplan_s_data(
    exchange: Exchange,
) -> None:
    board = exchange.stand_in.switchboard
    ours, theirs = await talking_call(exchange), exchange.stand_in.place_call(STAGING)
    with exchange.deaf():
        board.move(ours, STAGING)
        board.move(theirs, APPLICATION)
    assert board.channels[ours].to_json()["dialplan"]["app_data"] == APPLICATION
    assert board.channels[theirs].to_json()["dialplan"]["app_data"] == STAGING
    await exchange.comparison.compare()
    await until(lambda: talks(exchange), "the caller who moved to us talks")
    await until(lambda: exchange.calls.active_calls == 1, "the one who moved away is let go")
    assert exchange.calls.live_calls()[0].channel_id == theirs
    assert board.channels[ours].application == STAGING
    assert exchange.calls.report().ended_by == {"callerGone": 1}


async def test_a_foreign_channel_that_is_subscribed_to_us_is_left_alone(exchange: Exchange) -> None:
    board = exchange.stand_in.switchboard
    in_the_dialplan, in_staging = exchange.stand_in.place_call(None), exchange.stand_in.place_call(STAGING)
    for channel in (in_the_dialplan, in_staging):
        board.subscribe(APPLICATION, channel)
    await connected_again(exchange)
    await exchange.comparison.compare()
    exchange.stand_in.hang_up(in_staging)
    await exchange.comparison.compare()
    assert exchange.calls.report().arrived == 0
    assert board.channels[in_the_dialplan].state == "Ring"


async def test_a_foreign_channel_that_is_subscribed_to_us_causes_one_comparison_and_not_one_with_each_list(
    exchange: Exchange,
) -> None:
    exchange.stand_in.switchboard.subscribe(APPLICATION, exchange.stand_in.place_call(None))
    await exchange.comparison.compare()
    await exchange.comparison.check_list()
    await asyncio.sleep(0.6)
    assert not exchange.calls.compare_soon.is_set()


async def test_a_call_whose_channels_another_client_unsubscribed_goes_on_and_its_end_is_noticed(
    exchange: Exchange,
) -> None:
    board, caller = exchange.stand_in.switchboard, await talking_call(exchange)
    for channel in (caller, IDS.media(caller)):
        board.unsubscribe(APPLICATION, channel)
    await exchange.comparison.check_list()
    await exchange.comparison.compare()
    await connected_again(exchange)
    assert talks(exchange)
    exchange.stand_in.hang_up(caller)
    await exchange.comparison.compare()
    await nothing_is_left(exchange)


async def test_a_channel_that_takes_the_caller_s_place_goes_on_with_the_call_also_after_a_restart(
    exchange: Exchange,
) -> None:
    board, caller = exchange.stand_in.switchboard, await talking_call(exchange)
    board.replace(caller, "standin-transferred")
    await until(lambda: exchange.calls.live_calls()[0].channel_id == "standin-transferred", "the caller is replaced")
    await exchange.comparison.compare()
    await connected_again(exchange)
    report = exchange.calls.report()
    assert (report.active, report.arrived, report.ended) == (1, 1, 0)
    assert talks(exchange)
    async with running_exchange(4.0, exchange) as second:
        await until(lambda: talks(second), "the next relay adopts it")
        assert second.calls.live_calls()[0].channel_id == "standin-transferred"
        exchange.stand_in.hang_up("standin-transferred")
        await nothing_is_left(second)


async def test_an_application_with_a_name_that_must_be_quoted_is_compared(exchange: Exchange) -> None:
    # Settings refuse such a name. Asterisk and other clients do not.
    name = "other/app?x=1&y=ä %41"
    board = exchange.stand_in.switchboard
    board.register(name)
    caller = exchange.stand_in.place_call(name)
    client = AriClient(exchange.stand_in.url, "relay", "secret")
    found = await client.application(name)
    await client.close()
    assert found is not None
    assert (found.name, found.channel_ids) == (name, (caller,))
    await exchange.comparison.compare()
    assert exchange.calls.report().arrived == 0


async def test_a_port_that_another_process_holds_is_left_alone_and_the_call_is_not_given_back(
    exchange: Exchange,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", exchange.ports.range.start))
        caller = old_pair(exchange, APPLICATION, IDS)
        await exchange.comparison.compare()
        await asyncio.sleep(1.5)
        assert [call.state for call in exchange.calls.live_calls()] == ["adopting"]
        assert exchange.stand_in.callers() == [caller]
        assert len(exchange.ours()) == 2
    await until(lambda: talks(exchange), "it is adopted when the port is free")
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)
    assert exchange.calls.report().arrived == 1


async def test_a_call_of_an_earlier_relay_is_adopted_and_its_objects_are_deleted_at_its_end(
    exchange: Exchange,
) -> None:
    caller = old_pair(exchange, APPLICATION)
    await exchange.comparison.compare()
    await until(lambda: talks(exchange), "the call of the earlier relay is adopted")
    assert exchange.calls.report().adopted == 1
    exchange.stand_in.hang_up(caller)
    await until(lambda: exchange.calls.active_calls == 0, "its end is heard")
    board = exchange.stand_in.switchboard
    await until(lambda: OLD_IDS.media(caller) not in board.channels, "its media channel is deleted")
    assert OLD_IDS.bridge(caller) not in board.bridges


async def test_objects_of_another_application_s_earlier_relay_on_this_node_are_left_alone(exchange: Exchange) -> None:
    caller = old_pair(exchange, STAGING)
    exchange.stand_in.create_media(OLD_IDS.media("gone"), STAGING, "127.0.0.1:9", "ulaw")
    exchange.stand_in.switchboard.create_bridge(OLD_IDS.bridge("gone"))
    await connected_again(exchange)
    await exchange.comparison.compare()
    board = exchange.stand_in.switchboard
    assert set(board.channels) == {caller, OLD_IDS.media(caller), OLD_IDS.media("gone")}
    assert set(board.bridges) == {OLD_IDS.bridge(caller), OLD_IDS.bridge("gone")}
    assert exchange.calls.report().arrived == 0


async def test_an_earlier_relay_ends_no_call_of_this_one(exchange: Exchange) -> None:
    """Apply the rules of an earlier relay, which deletes what has its prefix and takes callers in no foreign bridge."""
    caller = await talking_call(exchange)
    prefix = f"rtp_{hashlib.sha256(b'node-1').hexdigest()[:8]}_"
    board = exchange.stand_in.switchboard
    assert not [name for name in (*board.channels, *board.bridges) if name.startswith(prefix)]
    in_foreign_bridges = {member for bridge in board.bridges.values() for member in bridge.channels}
    of_any_relay = re.compile(r"rtp_[0-9a-f]{8}_.+_media")
    waiting = [name for name in board.channels if not of_any_relay.fullmatch(name) and name not in in_foreign_bridges]
    assert (waiting, in_foreign_bridges) == ([], {caller, IDS.media(caller)})


async def test_a_look_finds_an_end_without_an_event_before_the_next_regular_comparison(exchange: Exchange) -> None:
    caller = await talking_call(exchange)
    await asyncio.sleep(CHECK_LIST_SECONDS)
    with exchange.deaf():
        exchange.stand_in.hang_up(caller)
    started = asyncio.get_running_loop().time()
    await nothing_is_left(exchange)
    assert asyncio.get_running_loop().time() - started < 5

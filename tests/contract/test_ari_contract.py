"""The behaviour of Asterisk on which a relay relies. The assertions hold for the stand-in and for Asterisk 22."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from ari_under_test import Ari, EventLog, Receiver

from rtppool_core.rtp.header import parse
from rtppool_relay.ari.application_name import MAX_NAME
from rtppool_relay.ari.bodies import Listing
from rtppool_relay.ari.errors import AriRefused, AriUnauthorized, AriUnreachable
from rtppool_relay.ari.messages import Bridge, Channel, ChannelStarted, Replaced
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.calls.ids import CallIds, port_of_name

IDS = CallIds.of_relay("contract", "contract")


def new_ids() -> tuple[str, str]:
    call = secrets.token_hex(4)
    return IDS.media(call), IDS.bridge(call)


async def until_gone(deleted: str, listed: Callable[[], Awaitable[Listing[Channel] | Listing[Bridge]]]) -> None:
    """Wait: Asterisk answers a DELETE before the channel or bridge leaves its list."""
    async with asyncio.timeout(30):
        while deleted in {each.id for each in (await listed()).items}:
            await asyncio.sleep(0.05)


async def test_a_wrong_password_is_refused_for_requests_and_for_events(ari: Ari) -> None:
    client = AriClient(ari.url, ari.user, "not the password")
    with pytest.raises(AriUnauthorized, match=f"ARI_USER={ari.user} .*401"):
        await client.channels()
    with pytest.raises(AriUnauthorized, match=f"ARI_USER={ari.user} .*401"):
        async with client.events(ari.application):
            pass
    await client.close()


async def test_a_wrong_path_is_reported_as_an_address_without_events(ari: Ari) -> None:
    client = AriClient(f"{ari.url}-not-here", ari.user, ari.password)
    with pytest.raises(AriUnreachable, match=r"ARI_URL=.*-not-here has no /events \(404\)"):
        async with client.events(ari.application):
            pass
    await client.close()


async def test_an_application_exists_as_long_as_its_websocket(ari: Ari) -> None:
    assert not await ari.client.application_exists(ari.application)
    async with ari.client.events(ari.application):
        assert await ari.client.application_exists(ari.application)
    for _ in range(50):
        if not await ari.client.application_exists(ari.application):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("still there 5 s after the websocket closed")


async def test_an_application_s_name_may_have_73_characters_and_no_more(ari: Ari) -> None:
    longest = ari.application.ljust(MAX_NAME, "x")
    async with ari.client.events(longest):
        assert await ari.client.application_exists(longest)
    with pytest.raises(AriRefused) as refused:
        async with ari.client.events(longest + "x"):
            pass
    assert refused.value.status == 500


async def test_a_second_websocket_replaces_the_first(ari: Ari) -> None:
    async with ari.client.events(ari.application) as first, ari.client.events(ari.application):
        async with asyncio.timeout(30):
            assert await anext(first) == Replaced(ari.application)


async def test_the_start_of_asterisk_is_the_same_each_time_it_is_asked_for(ari: Ari) -> None:
    info = await ari.client.asterisk_info()
    assert datetime.strptime(info.startup_time, "%Y-%m-%dT%H:%M:%S.%f%z") < datetime.now(UTC)
    assert await ari.client.asterisk_info() == info


async def test_a_global_variable_is_read_back_until_it_is_cleared(ari: Ari) -> None:
    name = f"RTP_RELAY_{IDS.prefix}CONTRACT"
    assert await ari.client.global_variable(name) is None
    await ari.client.set_global_variable(name, "1764039600000")
    assert await ari.client.global_variable(name) == "1764039600000"
    await ari.client.clear_global_variable(name)
    assert await ari.client.global_variable(name) is None
    await ari.client.clear_global_variable(name)


async def test_external_media_starts_in_the_application_and_names_relay_and_own_address(
    ari: Ari, receiver: Receiver
) -> None:
    media, _ = new_ids()
    async with ari.client.events(ari.application) as events:
        channel = await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        assert channel.id == media
        assert port_of_name(channel.name) == receiver.port
        _, port = await ari.client.media_address(channel)
        assert port > 0
        assert await ari.client.variable(media, "UNICASTRTP_LOCAL_PORT") == str(port)
        async with asyncio.timeout(30):
            started = await anext(events)
        assert isinstance(started, ChannelStarted)
        assert (started.channel.id, started.application) == (media, ari.application)
        listed = {channel.id: channel for channel in (await ari.client.channels()).items}
        assert listed[media].application == ari.application
        await ari.client.delete_channel(media)
        await until_gone(media, ari.client.channels)


async def test_a_second_external_media_of_the_same_id_fails_and_the_first_is_found(
    ari: Ari, receiver: Receiver
) -> None:
    media, _ = new_ids()
    async with ari.listening():
        await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        status, _answer = await ari.request(
            "POST",
            "/channels/externalMedia",
            app=ari.application,
            channelId=media,
            external_host=receiver.address,
            format="ulaw",
        )
        assert status == 500
        again = await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        assert again.id == media
        _, port = await ari.client.media_address(again)
        assert port > 0
        await ari.client.delete_channel(media)


async def test_a_second_bridge_of_the_same_id_is_a_conflict_and_the_first_stands(ari: Ari) -> None:
    _, bridge = new_ids()
    await ari.client.create_bridge(bridge)
    status, _answer = await ari.request("POST", "/bridges", type="mixing", bridgeId=bridge)
    assert status == 409
    await ari.client.create_bridge(bridge)
    assert bridge in {each.id for each in (await ari.client.bridges()).items}
    await ari.client.delete_bridge(bridge)
    await until_gone(bridge, ari.client.bridges)


async def test_a_second_deletion_succeeds(ari: Ari) -> None:
    media, bridge = new_ids()
    await ari.client.delete_channel(media)
    await ari.client.delete_bridge(bridge)


async def test_putting_an_unknown_channel_into_a_bridge_is_refused_with_400(ari: Ari) -> None:
    _, bridge = new_ids()
    await ari.client.create_bridge(bridge)
    with pytest.raises(AriRefused) as refused:
        await ari.client.add_to_bridge(bridge, ("not-a-channel",))
    assert refused.value.status == 400
    await ari.client.delete_bridge(bridge)


async def test_a_variable_that_is_not_set_is_none_and_one_that_is_set_is_read_back(ari: Ari) -> None:
    async with ari.listening() as heard:
        caller = await ari.caller(heard)
        assert await ari.client.variable(caller, "RTP_RELAY_REFUSED") is None
        await ari.client.set_variable(caller, "RTP_RELAY_REFUSED", "NoFreePort")
        assert await ari.client.variable(caller, "RTP_RELAY_REFUSED") == "NoFreePort"
        await ari.client.delete_channel(caller)


async def test_a_function_that_the_channel_has_not_is_none(ari: Ari, receiver: Receiver) -> None:
    media, _ = new_ids()
    async with ari.listening():
        await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        assert await ari.client.variable(media, "CHANNEL(pjsip,call-id)") is None
        await ari.client.delete_channel(media)


async def test_a_caller_who_is_sent_on_leaves_the_application(ari: Ari) -> None:
    async with ari.listening() as heard:
        caller = await ari.caller(heard)
        await ari.client.continue_in_dialplan(caller)
        await heard.wait_for("StasisEnd", lambda event: event["channel"]["id"] == caller)
        with pytest.raises(AriRefused) as refused:
            await ari.client.answer(caller)
        assert refused.value.status in {404, 409}
        await ari.client.delete_channel(caller)


async def test_an_application_that_subscribes_to_all_hears_the_variables_and_the_end_of_another_s_caller(
    ari: Ari,
) -> None:
    name = f"contract-all-{secrets.token_hex(4)}"
    async with ari.listening() as heard, ari.listening(to_all_as=name) as heard_all:
        caller = await ari.caller(heard)

        def is_the_caller_s(event: dict[str, Any]) -> bool:
            return bool(event.get("channel", {}).get("id") == caller)

        await ari.client.set_variable(caller, "RTP_RELAY_REFUSED", "NoFreePort")
        told = await heard_all.wait_for(
            "ChannelVarset", lambda event: is_the_caller_s(event) and event["variable"] == "RTP_RELAY_REFUSED"
        )
        assert (told["value"], told["application"]) == ("NoFreePort", name)
        await ari.client.continue_in_dialplan(caller)
        await ari.client.delete_channel(caller)
        await heard_all.wait_for("ChannelDestroyed", is_the_caller_s)


async def test_an_answered_caller_may_be_answered_again(ari: Ari) -> None:
    async with ari.listening() as heard:
        caller = await ari.caller(heard)
        await ari.client.answer(caller)
        await ari.client.answer(caller)
        await ari.client.delete_channel(caller)


async def test_a_caller_s_voice_reaches_the_relay_as_20_ms_packets_of_one_stream(ari: Ari, receiver: Receiver) -> None:
    media, bridge = new_ids()
    async with ari.listening() as heard:
        caller = await ari.caller(heard)
        await ari.client.answer(caller)
        await ari.client.create_bridge(bridge)
        channel = await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        peer = await ari.client.media_address(channel)
        await heard.wait_for("StasisStart", lambda event: event["channel"]["id"] == media)
        await ari.client.add_to_bridge(bridge, (caller, media))
        await heard.wait_for("ChannelEnteredBridge", lambda event: event["channel"]["id"] == media)

        await receiver.packets(5)  # the tone begins
        packets = await receiver.packets(25)
        assert {sender for _, sender in packets} == {peer}
        headers = [parse(packet) for packet, _ in packets]
        assert {header.payload_type for header in headers} == {0}
        assert len({header.ssrc for header in headers}) == 1
        steps = {(after.sequence - before.sequence) & 0xFFFF for before, after in pairwise(headers)}
        assert steps == {1}
        ticks = {(after.timestamp - before.timestamp) for before, after in pairwise(headers[1:])}
        assert ticks == {160}
        members = {each.id: set(each.channels) for each in (await ari.client.bridges()).items}
        assert members[bridge] == {caller, media}

        await ari.client.delete_channel(media)
        await ari.client.delete_bridge(bridge)
        await ari.client.delete_channel(caller)


async def test_the_media_channel_outlives_its_caller(ari: Ari, receiver: Receiver) -> None:
    media, bridge = new_ids()
    async with ari.listening() as heard:
        caller = await ari.caller(heard)
        await ari.client.create_bridge(bridge)
        await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        await heard.wait_for("StasisStart", lambda event: event["channel"]["id"] == media)
        await ari.client.add_to_bridge(bridge, (caller, media))
        await ari.client.add_to_bridge(bridge, (caller, media))
        await ari.client.delete_channel(caller)
        await heard.wait_for("StasisEnd", lambda event: event["channel"]["id"] == caller)
        await heard.wait_for("ChannelDestroyed", lambda event: event["channel"]["id"] == caller)
        assert media in {channel.id for channel in (await ari.client.channels()).items}
        await ari.client.delete_channel(media)
        await ari.client.delete_bridge(bridge)


async def bridged_pair(ari: Ari, heard: EventLog, receiver: Receiver) -> tuple[str, str, str]:
    """Set up a caller and a media channel that talk in a bridge, and return the three ids."""
    media, bridge = new_ids()
    caller = await ari.caller(heard)
    await ari.client.answer(caller)
    await ari.client.create_bridge(bridge)
    await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
    await heard.wait_for("StasisStart", lambda event: event["channel"]["id"] == media)
    await ari.client.add_to_bridge(bridge, (caller, media))
    for channel in (caller, media):
        await heard.wait_for("ChannelEnteredBridge", lambda event, of=channel: event["channel"]["id"] == of)
    return caller, media, bridge


async def application_of(ari: Ari, channel: str) -> str | None:
    return {each.id: each.application for each in (await ari.client.channels()).items}[channel]


async def test_a_bridge_that_another_client_deletes_shows_as_both_channels_leaving_it(
    ari: Ari, receiver: Receiver
) -> None:
    async with ari.listening() as heard:
        caller, media, bridge = await bridged_pair(ari, heard, receiver)
        await ari.request("DELETE", f"/bridges/{bridge}")
        for channel in (caller, media):
            left = await heard.wait_for("ChannelLeftBridge", lambda event, of=channel: event["channel"]["id"] == of)
            assert left["bridge"]["id"] == bridge
            assert await application_of(ari, channel) == ari.application
        await until_gone(bridge, ari.client.bridges)
        await ari.client.delete_channel(media)
        await ari.client.delete_channel(caller)


async def test_a_caller_whom_another_client_puts_into_another_bridge_leaves_ours_and_stays_in_the_application(
    ari: Ari, receiver: Receiver
) -> None:
    async with ari.listening() as heard:
        caller, media, bridge = await bridged_pair(ari, heard, receiver)
        meeting = f"meeting-{secrets.token_hex(4)}"
        await ari.client.create_bridge(meeting)
        await ari.client.add_to_bridge(meeting, (caller,))
        left = await heard.wait_for("ChannelLeftBridge", lambda event: event["channel"]["id"] == caller)
        assert left["bridge"]["id"] == bridge
        await heard.wait_for("ChannelEnteredBridge", lambda event: event["bridge"]["id"] == meeting)
        members = {each.id: each.channels for each in (await ari.client.bridges()).items}
        assert (members[bridge], members[meeting]) == ((media,), (caller,))
        assert await application_of(ari, caller) == ari.application
        await ari.client.delete_channel(media)
        await ari.client.delete_channel(caller)
        await ari.client.delete_bridge(bridge)
        await ari.client.delete_bridge(meeting)


async def test_a_caller_who_is_taken_out_of_the_bridge_stays_in_the_application(ari: Ari, receiver: Receiver) -> None:
    async with ari.listening() as heard:
        caller, media, bridge = await bridged_pair(ari, heard, receiver)
        await ari.request("POST", f"/bridges/{bridge}/removeChannel", channel=caller)
        await heard.wait_for("ChannelLeftBridge", lambda event: event["channel"]["id"] == caller)
        assert await application_of(ari, caller) == ari.application
        await ari.client.delete_channel(media)
        await ari.client.delete_channel(caller)
        await ari.client.delete_bridge(bridge)


async def test_a_third_channel_in_the_bridge_has_an_event_and_is_listed(ari: Ari, receiver: Receiver) -> None:
    async with ari.listening() as heard:
        caller, media, bridge = await bridged_pair(ari, heard, receiver)
        third = await ari.caller(heard)
        await ari.client.add_to_bridge(bridge, (third,))
        entered = await heard.wait_for("ChannelEnteredBridge", lambda event: event["channel"]["id"] == third)
        assert entered["bridge"]["id"] == bridge
        members = {each.id: set(each.channels) for each in (await ari.client.bridges()).items}
        assert members[bridge] == {caller, media, third}
        for channel in (third, media, caller):
            await ari.client.delete_channel(channel)
        await ari.client.delete_bridge(bridge)


# The list of an application holds its subscriptions. A relay's comparison relies on these answers.


async def until_channels_of_are(ari: Ari, application: str, expected: tuple[str, ...]) -> None:
    """Wait: a channel may leave the list of all channels before it leaves that of its application."""
    async with asyncio.timeout(30):
        while await channels_of(ari, application) != expected:
            await asyncio.sleep(0.05)


async def channels_of(ari: Ari, application: str) -> tuple[str, ...]:
    found = await ari.client.application(application)
    assert found is not None
    return found.channel_ids


async def test_an_application_lists_its_channels_as_long_as_they_are_in_it(ari: Ari, receiver: Receiver) -> None:
    media, _ = new_ids()
    async with ari.listening() as heard:
        assert await channels_of(ari, ari.application) == ()
        await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        await heard.wait_for("StasisStart", lambda event: event["channel"]["id"] == media)
        assert await channels_of(ari, ari.application) == (media,)
        assert ari.application in {each.name for each in (await ari.client.applications()).items}
        await ari.client.delete_channel(media)
        await until_gone(media, ari.client.channels)
        await until_channels_of_are(ari, ari.application, ())


async def test_a_channel_is_requested_alone_and_an_absent_one_is_none(ari: Ari, receiver: Receiver) -> None:
    media, bridge = new_ids()
    async with ari.listening() as heard:
        await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        await heard.wait_for("StasisStart", lambda event: event["channel"]["id"] == media)
        found = await ari.client.channel(media)
        assert found is not None
        assert (found.id, port_of_name(found.name), found.application) == (media, receiver.port, ari.application)
        await ari.client.create_bridge(bridge)
        await ari.client.add_to_bridge(bridge, (media,))
        assert await ari.client.bridge(bridge) == Bridge(bridge, (media,))
        await ari.client.delete_channel(media)
        await until_gone(media, ari.client.channels)
        await ari.client.delete_bridge(bridge)
        await until_gone(bridge, ari.client.bridges)
        assert await ari.client.channel(media) is None
        assert await ari.client.bridge(bridge) is None


async def test_a_channel_that_moves_has_both_events_stays_in_its_bridge_and_keeps_the_dialplan_s_data(
    ari: Ari, receiver: Receiver
) -> None:
    media, bridge = new_ids()
    other = replace(ari, application=f"contract-{secrets.token_hex(4)}")
    async with ari.listening() as heard, other.listening() as heard_there:
        await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        await heard.wait_for("StasisStart", lambda event: event["channel"]["id"] == media)
        await ari.client.create_bridge(bridge)
        await ari.client.add_to_bridge(bridge, (media,))
        status, _answer = await ari.request("POST", f"/channels/{media}/move", app=other.application)
        assert status == 204
        left = await heard.wait_for("StasisEnd", lambda event: event["channel"]["id"] == media)
        entered = await heard_there.wait_for("StasisStart", lambda event: event["channel"]["id"] == media)
        assert (left["application"], entered["application"]) == (ari.application, other.application)
        # A channel that ARI created stays subscribed to the application that it was created for.
        assert await channels_of(ari, other.application) == (media,)
        assert await application_of(ari, media) == ari.application
        assert await ari.client.bridge(bridge) == Bridge(bridge, (media,))
        await ari.client.delete_channel(media)
        await ari.client.delete_bridge(bridge)


async def test_a_channel_of_another_application_may_be_listed_and_an_own_one_may_not(
    ari: Ari, receiver: Receiver
) -> None:
    media, _ = new_ids()
    other = replace(ari, application=f"contract-{secrets.token_hex(4)}")
    async with ari.listening() as heard, other.listening():
        await ari.client.create_media(media, ari.application, receiver.address, "ulaw")
        await heard.wait_for("StasisStart", lambda event: event["channel"]["id"] == media)
        source = f"channel:{media}"
        await ari.request("POST", f"/applications/{other.application}/subscription", eventSource=source)
        assert await channels_of(ari, other.application) == (media,)
        await ari.request("DELETE", f"/applications/{other.application}/subscription", eventSource=source)
        assert await channels_of(ari, other.application) == ()
        while media in await channels_of(ari, ari.application):
            await ari.request("DELETE", f"/applications/{ari.application}/subscription", eventSource=source)
        assert await application_of(ari, media) == ari.application
        await ari.client.delete_channel(media)


async def test_the_rights_of_a_user_show_by_requests_for_absent_objects(ari: Ari) -> None:
    before = {channel.id for channel in (await ari.client.channels()).items}
    await ari.client.check_rights()
    assert {channel.id for channel in (await ari.client.channels()).items} == before

"""An attended transfer of a caller's place: the call goes on with the other phone, and ends with it."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.base.report import Figure
from lab.base.waiting import wait_until
from lab.faults.calls.places import SIP_PORT, TRANSFER_SIP_PORT, TRANSFERRED_SIP_PORT
from lab.faults.calls.rig.relay import records_of
from lab.faults.calls.rig.rig import TAKES_ALL, Ports, Rig, running_rig
from lab.faults.calls.rig.sip_phone import Dialog, SipPhone
from lab.faults.calls.rounds.accounts import CALLER_LEFT, OURS, leaked, orphans, uncounted
from lab.faults.calls.rounds.rounds import all_talk, rest_of
from lab.faults.calls.rows.rows import Row, RowResult, Stage

TALK_SECONDS, STEP_SECONDS = 2.0, 10.0
PHONE = "phone"  # the extension of the second phone
MIN_PACKETS = 20


async def transfer(rig: Rig, result: RowResult) -> None:
    """Call the relay and a second phone, connect both by REFER with Replaces, and hang the second phone up later."""
    first, second = SipPhone("first", TRANSFER_SIP_PORT, SIP_PORT), SipPhone(PHONE, TRANSFERRED_SIP_PORT, SIP_PORT)
    try:
        await first.open()
        await second.open()
        call = await first.call("1000")
        await all_talk(rig, 1)
        before = await _only_call(rig)
        await first.transfer(call, await first.call(PHONE))
        (transferred,) = second.dialogs.values()
        await _until_replaced(rig, before)
        received, answered = transferred.received, (await _only_call(rig))["figures"]["answered"]
        await asyncio.sleep(TALK_SECONDS)
        after = await _only_call(rig)
        state = await rig.view.state()
        # Asterisk connects the second phone's bridge to the relay's by a Local channel, whose other end is not ours.
        ours = {each for bridge, members in state.bridges.items() if bridge.startswith(OURS) for each in members}
        channels = {channel: name for channel, name in state.channels.items() if channel in ours}
        # The names of the call's objects keep its first caller.
        callers = [before["channelId"], after["channelId"]]
        result.findings += orphans(channels, state.bridges, callers)
        _judge(result, before, after, transferred.received - received, after["figures"]["answered"] - answered)
        await _end(rig, second, transferred, result)
    finally:
        await first.close()
        await second.close()


async def _end(rig: Rig, phone: SipPhone, call: Dialog, result: RowResult) -> None:
    await phone.hang_up(call)
    result.findings += leaked(await rest_of(rig), len(rig.ports))
    records = records_of(rig.relay.log_text())
    ends = [each.ended_by for each in records]
    result.figures.append(
        Figure("records, and the end of the call", str(ends), str([CALLER_LEFT]), ends == [CALLER_LEFT])
    )
    if status := await rig.relay_view.status():
        result.findings += uncounted(status["calls"])


def _judge(result: RowResult, before: dict[str, Any], after: dict[str, Any], received: int, answered: int) -> None:
    result.figures += [
        Figure("the call after the transfer", after["state"], "talking", after["state"] == "talking"),
        Figure("the same port", str(after["port"]), str(before["port"]), after["port"] == before["port"]),
        Figure("packets to the echo and back in 2 s", str(answered), f">= {MIN_PACKETS}", answered >= MIN_PACKETS),
        Figure("packets at the second phone in 2 s", str(received), f">= {MIN_PACKETS}", received >= MIN_PACKETS),
    ]


async def _only_call(rig: Rig) -> dict[str, Any]:
    (call,) = await rig.relay_view.calls()
    return call


async def _until_replaced(rig: Rig, before: dict[str, Any]) -> None:
    async def replaced() -> bool:
        calls = await rig.relay_view.calls()
        return len(calls) == 1 and calls[0]["channelId"] != before["channelId"]

    await wait_until("the call goes on with the second phone", replaced, STEP_SECONDS)


async def _on_one_rig(stage: Stage, result: RowResult) -> None:
    async with running_rig(stage.roots, stage.folder, Ports(), chain=TAKES_ALL) as rig:
        await transfer(rig, result)


TRANSFER = Row("transfer", "an attended transfer of a caller", 15, _on_one_rig)

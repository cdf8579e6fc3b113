"""A second, independent SIP client: Debian's baresip calls with opus, G.722 and u-law, digits, a hold and RTCP.

Asterisk, echo and relay run as processes of this machine, as for the faults. The three calls are made at once.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from baresip import RATES_HZ, TONE_AMPLITUDE, TONE_HZ, Codec, Softphone, loudest_hz, rms, softphone

from lab.base.services import compile_ahead
from lab.base.turns import hold_machine
from lab.base.waiting import wait_until
from lab.faults.calls.rig.rig import TAKES_ALL, Ports, Rig, running_rig
from lab.faults.calls.rig.rooted import prepare_phones

DIGITS = "12#40*"
DIGIT_SECONDS = 0.2
TALK_SECONDS = 6
HOLD_SECONDS = 5
LEVEL_TOLERANCE = 0.06
CODECS = list(RATES_HZ)
# Facts of the machine and of other programs on it, which no call causes.
OF_THE_MACHINE = {"ProcessorStolen", "ProcessorBusy", "CpuLimit"}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True, slots=True)
class Talk:
    """One call: its phone, its record of `/calls`, and the digits that Asterisk received, by arrival."""

    phone: Softphone
    record: dict[str, Any]
    digits: str


@dataclass(frozen=True, slots=True)
class Talks:
    """The calls by codec, and the relay's status and log after them."""

    by_codec: dict[Codec, Talk]
    status: dict[str, Any]
    log: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talks() -> AsyncIterator[Talks]:
    """Place the three calls and return the results."""
    with hold_machine(), tempfile.TemporaryDirectory(prefix="rtp-pool-baresip-") as name:
        compile_ahead()
        roots, folder = prepare_phones(), Path(name)
        async with running_rig(roots, folder, Ports(), chain=TAKES_ALL) as rig, AsyncExitStack() as stack:
            phones = [await stack.enter_async_context(softphone(roots.baresip, folder / each, each)) for each in CODECS]
            digits: dict[str, str] = {}
            observing = asyncio.create_task(_observe_digits(rig, digits))
            records = await asyncio.gather(*(_talk(rig, phone) for phone in phones))
            observing.cancel()
            status = await rig.relay_view.status()
            assert status is not None
            calls = {
                phone.codec: Talk(phone, record, digits.get(record["channelId"], ""))
                for phone, record in zip(phones, records, strict=True)
            }
            yield Talks(calls, status, rig.relay.log_text())


@pytest.mark.parametrize("codec", CODECS)
async def test_the_returned_tone_equals_the_sent_one_in_each_second(talks: Talks, codec: Codec) -> None:
    """baresip's recording ends at the hold; the packets after it are counted below."""
    heard, rate = talks.by_codec[codec].phone.heard(), RATES_HZ[codec]
    # The first quarter of a second is the set-up's; the digits follow the first seconds of the talk.
    seconds = [heard[rate // 4 :][at * rate : (at + 1) * rate] for at in range(TALK_SECONDS - 1)]
    assert all(second.size == rate for second in seconds)
    assert [loudest_hz(second, rate) for second in seconds] == pytest.approx([TONE_HZ] * len(seconds), abs=2)
    sent = TONE_AMPLITUDE / np.sqrt(2)
    assert [rms(second) / sent for second in seconds] == pytest.approx([1.0] * len(seconds), abs=LEVEL_TOLERANCE)


@pytest.mark.parametrize("codec", CODECS)
async def test_the_digits_arrive_in_asterisk_as_pressed(talks: Talks, codec: Codec) -> None:
    """Asterisk sends a caller's digits to no externalMedia channel (docs/limitations.md)."""
    assert talks.by_codec[codec].digits == DIGITS


@pytest.mark.parametrize("codec", CODECS)
async def test_digits_hold_and_codec_are_no_loss_and_no_reordering(talks: Talks, codec: Codec) -> None:
    figures = talks.by_codec[codec].record["figures"]
    counts = {name: figures[name] for name in ("lost", "sourceLost", "tooLate", "duplicates", "reordered")}
    assert counts == dict.fromkeys(counts, 0), json.dumps(figures)
    assert figures["answered"] == figures["packets"] > 50 * TALK_SECONDS * 2 * 0.95


@pytest.mark.parametrize("codec", CODECS)
async def test_digits_and_hold_are_no_delay(talks: Talks, codec: Codec) -> None:
    """A busy machine delays packets by parts of a second. Six digits, judged wrongly, are a delay of 1.4 s and more."""
    assert talks.by_codec[codec].record["figures"]["sourcePdvMicroseconds"] < 1_000_000


@pytest.mark.parametrize("codec", CODECS)
async def test_asterisk_s_rtcp_arrives_and_the_caller_is_the_one_that_ends_the_call(talks: Talks, codec: Codec) -> None:
    talk = talks.by_codec[codec]
    assert talk.phone.events_of("CALL_RTCP")
    assert talk.record["endedBy"] == "callerGone"
    assert talk.record["media"] == "flowing"


async def test_nothing_of_it_is_a_finding(talks: Talks) -> None:
    calls, status = talks.status["calls"], talks.status
    assert (calls["wentSilent"], calls["wentOneWay"], calls["refused"], calls["cut"]) == (0, 0, {}, 0), talks.log
    assert [each for each in status["preflight"] if each["code"] not in OF_THE_MACHINE] == []
    lines = [json.loads(line) for line in talks.log.splitlines() if line.startswith("{")]
    warnings = [line for line in lines if line["level"] in {"WARNING", "ERROR"}]
    assert [line for line in warnings if line.get("code") not in OF_THE_MACHINE] == []


async def _talk(rig: Rig, phone: Softphone) -> dict[str, Any]:
    """Talk, press keys, talk, hold, talk, hang up. Return the call's record."""

    async def established() -> bool:
        return bool(phone.events_of("CALL_ESTABLISHED"))

    async def ended() -> bool:
        return any(call["sipCallId"] == sip_call_id for call in await rig.relay_view.recent_calls())

    phone.dial("1000")
    await wait_until(f"{phone.codec}: the call is answered", established, 20)
    sip_call_id = phone.events_of("CALL_ESTABLISHED")[0]["id"]
    await asyncio.sleep(TALK_SECONDS)
    for key in DIGITS:
        await phone.press(key, DIGIT_SECONDS)
        await asyncio.sleep(DIGIT_SECONDS)
    await asyncio.sleep(2)
    phone.command("hold")
    await asyncio.sleep(HOLD_SECONDS)
    phone.command("resume")
    await asyncio.sleep(TALK_SECONDS)
    phone.command("hangup")
    await wait_until(f"{phone.codec}: the call's record", ended, 10)
    return next(call for call in await rig.relay_view.recent_calls() if call["sipCallId"] == sip_call_id)


async def _observe_digits(rig: Rig, digits: dict[str, str]) -> None:
    """Collect the digits of every channel."""
    async for event in rig.view.events("observer"):
        if event["type"] == "ChannelDtmfReceived":
            channel = event["channel"]["id"]
            digits[channel] = digits.get(channel, "") + event["digit"]

"""Callers' numbers in everything that a relay shows: its log, its pages, its figures and its records."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from relay_process import APPLICATION, RelayProcess, relay_process, relay_settings, talking

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.contract.port_range import PortRange
from rtppool_testing.ports import LOOPBACK, free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)
NUMBER = "4940123456"
KEY = "a key of 16 byte"
FORMS = {"masked": "********56", "hashed": "~787a8c5f64af", "plain": NUMBER}
# All that a relay shows by GET.
PATHS = ("/", "/sla", "/status", "/calls", "/metrics", "/health", "/ready")


@pytest.fixture
def ports() -> PortRange:
    return free_range(4)


async def text_of(relay: RelayProcess, path: str, accept: str = "*/*") -> str:
    url = f"http://{LOOPBACK}:{relay.settings['HTTP_PORT']}{path}"
    async with aiohttp.ClientSession() as http, http.get(url, headers={"Accept": accept}) as response:
        return await response.text()


async def events_of(relay: RelayProcess, caller: str) -> str:
    """Return the live page's events until one has this caller's call."""
    url = f"http://{LOOPBACK}:{relay.settings['HTTP_PORT']}/events"
    text = ""
    async with aiohttp.ClientSession() as http, http.get(url) as response, asyncio.timeout(60):
        while caller not in text:
            text += (await response.content.readline()).decode()
    return text


def records(document: str) -> list[dict[str, Any]]:
    calls = json.loads(document)
    return [*calls["live"], *calls["recent"]]


@pytest.mark.parametrize("form", FORMS)
async def test_a_caller_s_number_is_shown_in_one_form_everywhere(
    form: str, stand_in: StandIn, echo_port: int, ports: PortRange, tmp_path: Path
) -> None:
    chosen = {"CALLER_NUMBERS": form, "CALLER_HASH_KEY": KEY, "LOG_LEVEL": "DEBUG"}
    log = tmp_path / "relay.log"
    async with relay_process(relay_settings(stand_in, echo_port, ports, **chosen), log) as relay:
        await until(relay.connected, "the relay takes calls")
        caller = stand_in.place_call(APPLICATION, NUMBER, sip_call_id=f"{NUMBER}@pbx.example")
        await talking(stand_in, [caller])
        shown = {path: await text_of(relay, path) for path in PATHS}
        shown["/sla as a page"] = await text_of(relay, "/sla", "text/html")
        shown["/events"] = await events_of(relay, caller)
        call = records(shown["/calls"])[0]
        shown["/calls/<call>"] = await text_of(relay, f"/calls/{call['call']}")
        stand_in.hang_up(caller)
        await until(lambda: "call ended" in log.read_text(), "the record in the log")
        shown["/calls at the end"] = await text_of(relay, "/calls")
    shown["log"] = log.read_text()

    assert call["callerNumber"] == FORMS[form]
    assert call["sipCallId"] == f"{FORMS[form]}@pbx.example"
    assert f"callerNumber={FORMS[form]}" in shown["log"]
    assert FORMS[form] in shown["/events"]
    assert records(shown["/calls at the end"])[0]["callerNumber"] == FORMS[form]
    if form != "plain":
        assert [place for place, text in shown.items() if NUMBER in text] == []
    assert KEY not in "".join(shown.values())


async def test_a_failure_of_asterisk_shows_no_number_in_the_log(
    stand_in: StandIn, echo_port: int, ports: PortRange, tmp_path: Path
) -> None:
    async def refuse(_method: str, path: str, _moment: str) -> None:
        if path.endswith("/answer") and "absent" not in path:
            raise web.HTTPInternalServerError(text=f"no answer for PJSIP/{NUMBER}-00000001")

    stand_in.interfere = refuse
    log = tmp_path / "relay.log"
    async with relay_process(relay_settings(stand_in, echo_port, ports), log) as relay:
        await until(relay.connected, "the relay takes calls")
        stand_in.place_call(APPLICATION, NUMBER)
        await until(lambda: bool(stand_in.ended), "the caller is back in the dialplan")
    assert re.search(r"Asterisk answered 500 .*no answer for PJSIP/\*{10}-\*{8}", log.read_text())
    assert NUMBER not in log.read_text()

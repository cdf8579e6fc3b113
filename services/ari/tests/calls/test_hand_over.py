"""The time of departure that a relay leaves for the next one."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.ari.errors import AriRefused, AriUnreachable
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.calls.hand_over import (
    MAX_UNREGISTER_SECONDS,
    departure_variable,
    parse_departure,
    publish_departure,
    take_departure,
    wait_until_unregistered,
)
from rtppool_relay.calls.ids import CallIds

IDS = CallIds.of_node("node-1")
NOW_NS = 1_764_039_600_123_456_789


class Variables:
    """Asterisk's global variables. Each request may take long or fail."""

    def __init__(self, seconds: float = 0.0, failure: Exception | None = None) -> None:
        self.held: dict[str, str] = {}
        self._seconds, self._failure = seconds, failure

    async def _ask(self) -> None:
        await asyncio.sleep(self._seconds)
        if self._failure is not None:
            raise self._failure

    async def global_variable(self, name: str) -> str | None:
        await self._ask()
        return self.held.get(name)

    async def set_global_variable(self, name: str, value: str) -> None:
        await self._ask()
        self.held[name] = value

    async def clear_global_variable(self, name: str) -> None:
        await self._ask()
        self.held.pop(name, None)


def client(variables: Variables) -> AriClient:
    return cast("AriClient", variables)


async def test_a_departure_is_taken_once() -> None:
    asterisk = Variables()
    assert await publish_departure(client(asterisk), IDS, lambda: NOW_NS)
    assert asterisk.held == {departure_variable(IDS): "1764039600123"}
    assert await take_departure(client(asterisk), IDS) == 1_764_039_600_123_000_000
    assert asterisk.held == {}
    assert await take_departure(client(asterisk), IDS) is None


async def test_a_departure_of_another_node_s_relay_is_left_alone() -> None:
    asterisk = Variables()
    await publish_departure(client(asterisk), CallIds.of_node("node-2"), lambda: NOW_NS)
    assert await take_departure(client(asterisk), IDS) is None
    assert len(asterisk.held) == 1


@pytest.mark.looptime
async def test_no_relay_waits_for_an_asterisk_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    began = asyncio.get_running_loop().time()
    assert not await publish_departure(client(Variables(seconds=5.0)), IDS, lambda: NOW_NS)
    assert round(asyncio.get_running_loop().time() - began, 6) == 0.2
    assert "the next relay cannot measure the gap: no answer in time" in caplog.text


async def test_an_asterisk_that_is_away_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    assert not await publish_departure(client(Variables(failure=AriUnreachable("it is away"))), IDS, lambda: NOW_NS)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "it is away" in caplog.text


async def test_an_asterisk_without_global_variables_has_no_departure() -> None:
    refusing = Variables(failure=AriRefused(404, "no such resource"))
    assert await take_departure(client(refusing), IDS) is None


async def test_an_asterisk_that_is_away_is_not_one_without_a_departure() -> None:
    with pytest.raises(AriUnreachable):
        await take_departure(client(Variables(failure=AriUnreachable("away"))), IDS)


async def test_a_variable_that_is_no_time_is_unset_and_gives_no_departure(caplog: pytest.LogCaptureFixture) -> None:
    asterisk = Variables()
    asterisk.held[departure_variable(IDS)] = "yesterday"
    assert await take_departure(client(asterisk), IDS) is None
    assert asterisk.held == {}
    assert "is no time" in caplog.text


@given(st.text())
def test_any_text_is_a_time_or_none(text: str) -> None:
    left_ns = parse_departure(text)
    assert left_ns is None or 0 <= left_ns < 10**21


@pytest.mark.parametrize("text", [None, "", "-1", "1.5", " 1", "\u0661", "1" * 16])
def test_a_text_that_is_no_plain_number_is_no_time(text: str | None) -> None:
    assert parse_departure(text) is None


class Applications:
    """Asterisk's applications. One exists for so many requests, or a request fails."""

    def __init__(self, requests: int, failure: Exception | None = None) -> None:
        self.requests = requests
        self._failure = failure

    async def application_exists(self, _application: str) -> bool:
        if self._failure is not None:
            raise self._failure
        self.requests -= 1
        return self.requests >= 0


async def test_a_relay_that_leaves_waits_until_asterisk_has_ended_its_application() -> None:
    asterisk = Applications(3)
    await wait_until_unregistered(cast("AriClient", asterisk), "rtp-pool")
    assert asterisk.requests == -1


@pytest.mark.looptime
async def test_it_waits_no_longer_for_an_application_that_stays() -> None:
    began = asyncio.get_running_loop().time()
    await wait_until_unregistered(cast("AriClient", Applications(10_000)), "rtp-pool")
    assert asyncio.get_running_loop().time() - began == pytest.approx(MAX_UNREGISTER_SECONDS, abs=0.01)


async def test_it_does_not_wait_for_an_asterisk_that_fails() -> None:
    asterisk = Applications(1, AriUnreachable("away"))
    await wait_until_unregistered(cast("AriClient", asterisk), "rtp-pool")
    assert asterisk.requests == 1

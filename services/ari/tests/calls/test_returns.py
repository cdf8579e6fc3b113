"""Callers who wait for their return to the dialplan."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from rtppool_relay.ari.errors import AriRefused, AriUnauthorized
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.calls import returns
from rtppool_relay.calls.returns import MAX_RETURNS_AT_ONCE, Returns, give_back

pytestmark = pytest.mark.looptime


class Asterisk:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.returned: list[str] = []
        self.most_at_once = 0
        self._at_once = 0

    async def set_variable(self, _channel: str, _name: str, _value: str) -> None:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0.1)
        self._at_once -= 1
        if self.failure is not None:
            raise self.failure

    async def continue_in_dialplan(self, channel: str) -> None:
        self.returned.append(channel)


def waiting(asterisk: Asterisk, count: int) -> Returns:
    found = Returns(cast("AriClient", asterisk))
    for number in range(count):
        found.add(f"c{number}", "RTP_RELAY_REFUSED", "Overloaded")
    return found


async def test_each_caller_is_tried_once_and_stays_until_asterisk_accepts_it() -> None:
    asterisk = Asterisk(AriUnauthorized("may not"))
    found = waiting(asterisk, 3)
    found.start()
    await asyncio.sleep(1)
    assert (len(found.channels), asterisk.returned) == (3, [])
    asterisk.failure = None
    found.start()
    await asyncio.sleep(1)
    assert (len(found.channels), sorted(asterisk.returned)) == (0, ["c0", "c1", "c2"])


async def test_a_few_are_given_back_at_once() -> None:
    asterisk = Asterisk()
    found = waiting(asterisk, 40)
    found.start()
    await asyncio.sleep(5)
    assert (len(asterisk.returned), asterisk.most_at_once) == (40, MAX_RETURNS_AT_ONCE)


async def test_no_more_than_the_bound_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "MAX_UNRETURNED", 2)
    found = waiting(Asterisk(), 3)
    assert (found.is_full, set(found.channels)) == (True, {"c0", "c1"})


@pytest.mark.parametrize("status", [404, 409])
async def test_a_caller_who_has_left_needs_no_return(status: int) -> None:
    found = waiting(Asterisk(AriRefused(status, "gone")), 1)
    found.start()
    await asyncio.sleep(1)
    assert not found.channels


async def test_another_refusal_is_an_error() -> None:
    with pytest.raises(AriRefused):
        await give_back(cast("AriClient", Asterisk(AriRefused(500, "busy"))), "c", "RTP_RELAY_ENDED", "cut")

"""The adoption of a call from Asterisk, also where Asterisk answers late, in virtual time."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pytest

from rtppool_core.contract.report import LateByCause
from rtppool_relay.ari.errors import AriUnreachable
from rtppool_relay.ari.messages import Channel
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.record import CallCounters
from rtppool_relay.calls.runner import CallContext, CallRunner
from rtppool_relay.calls.table import CallEvent, CallState
from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.ports.interface import PortAllocator
from rtppool_relay.streams.flow import MediaFlow

pytestmark = pytest.mark.looptime
PORT = 10000
SECOND_NS = 1_000_000_000


class Asterisk:
    """An Asterisk that answers only after a time, in seconds from the begin of the test."""

    def __init__(self, answers_after_seconds: float) -> None:
        self._from = asyncio.get_running_loop().time() + answers_after_seconds
        self.deleted: list[str] = []

    def _ask(self) -> None:
        if asyncio.get_running_loop().time() < self._from:
            raise AriUnreachable("does not answer in time")

    async def media_address(self, _channel: Channel) -> tuple[str, int]:
        self._ask()
        return "192.0.2.1", 24000

    async def variable(self, _channel: str, _name: str) -> str:
        self._ask()
        return "call-1@host"

    async def set_variable(self, _channel: str, _name: str, _value: str) -> None:
        self._ask()

    async def continue_in_dialplan(self, _channel: str) -> None:
        self._ask()

    async def delete_channel(self, channel: str) -> None:
        self.deleted.append(channel)

    async def delete_bridge(self, bridge: str) -> None:
        self.deleted.append(bridge)


class Media:
    port = PORT
    advertised_address = "192.0.2.2"

    def __init__(self) -> None:
        self.peer: tuple[str, int] | None = None
        self.closed = False
        self.first_arrival_ns: int | None = None

    async def connect(self, address: str, port: int) -> None:
        self.peer = (address, port)

    def figures(self) -> CallFigures:
        return CallFigures(packets=0, answered=0, lost=0, late=LateByCause(), reordered=0, duplicates=0, too_late=0)

    def excuse_digit(self, duration_seconds: float) -> None:
        del duration_seconds

    async def observe_senders(self) -> str | None:
        return None

    def flow(self) -> MediaFlow:
        return MediaFlow(0, 0, first_arrival_ns=self.first_arrival_ns)

    async def close(self) -> CallFigures:
        self.closed = True
        return self.figures()


class Ports:
    def __init__(self) -> None:
        self.media = Media()

    async def adopt(self, _call: str, _port: int) -> Media:
        return self.media


def adopting(asterisk: Asterisk, ports: Ports, left_ns: int | None = None) -> CallRunner:
    context = CallContext(
        client=cast("AriClient", asterisk),
        ports=cast("PortAllocator", ports),
        ids=CallIds.of_node("node-1"),
        application="rtp-pool",
        counters=CallCounters(),
        monotonic=asyncio.get_running_loop().time,
        wall_ns=time.time_ns,
        draining=lambda: False,
    )
    runner = CallRunner(context, "c", Channel("c", "PJSIP/c"), lambda _runner: None)
    runner.adopt(PORT, left_ns)
    return runner


async def test_an_asterisk_that_does_not_answer_for_a_while_costs_no_call() -> None:
    asterisk, ports = Asterisk(answers_after_seconds=20), Ports()
    runner = adopting(asterisk, ports)
    await asyncio.sleep(21)
    assert runner.record.state is CallState.TALKING
    assert ports.media.peer == ("192.0.2.1", 24000)
    await runner.abandon()
    assert asterisk.deleted == []


async def test_one_that_never_answers_ends_it_after_half_a_minute() -> None:
    asterisk, ports = Asterisk(answers_after_seconds=3600), Ports()
    runner = adopting(asterisk, ports)
    await asyncio.sleep(29)
    assert runner.record.state is CallState.ADOPTING
    await asyncio.sleep(5)
    assert runner.record.state is CallState.ENDED
    assert ports.media.closed


async def test_a_caller_who_hangs_up_meanwhile_is_not_waited_for() -> None:
    asterisk, ports = Asterisk(answers_after_seconds=3600), Ports()
    runner = adopting(asterisk, ports)
    await asyncio.sleep(2)
    runner.feed(CallEvent.CALLER_GONE)
    await asyncio.sleep(1)
    assert runner.record.state is CallState.ENDED
    assert ports.media.closed


@pytest.mark.parametrize(
    ("left_ns", "gap"),
    [(None, None), (8 * SECOND_NS, 2000), (10 * SECOND_NS, 0), (11 * SECOND_NS, None)],
)
async def test_the_gap_is_from_the_departure_to_the_first_packet_and_never_guessed(
    left_ns: int | None, gap: int | None
) -> None:
    ports = Ports()
    runner = adopting(Asterisk(answers_after_seconds=0), ports, left_ns)
    await asyncio.sleep(1)
    runner.check_sound()
    assert runner.record.gap_milliseconds is None
    ports.media.first_arrival_ns = 10 * SECOND_NS
    runner.check_sound()
    assert runner.record.gap_milliseconds == gap
    await runner.abandon()

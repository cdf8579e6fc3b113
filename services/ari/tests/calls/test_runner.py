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
from rtppool_relay.calls.entrance import Entrance
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.record import CallCounters
from rtppool_relay.calls.runner import MAX_ADOPTIONS_AT_ONCE, CallContext, CallRunner
from rtppool_relay.calls.table import CallEvent, CallState
from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.ports.interface import PortAllocator, Refused
from rtppool_relay.streams.flow import MediaFlow

pytestmark = pytest.mark.looptime
PORT = 10000
SECOND_NS = 1_000_000_000


class Asterisk:
    """An Asterisk that answers only after a time, in seconds from the begin of the test."""

    def __init__(self, answers_after_seconds: float) -> None:
        self._from = asyncio.get_running_loop().time() + answers_after_seconds
        self.deleted: list[str] = []
        self.given_back: list[str] = []
        self.seconds = 0.0
        self.most_at_once = 0
        self._at_once = 0

    def _ask(self) -> None:
        if asyncio.get_running_loop().time() < self._from:
            raise AriUnreachable("does not answer in time")

    async def media_address(self, _channel: Channel) -> tuple[str, int]:
        self._ask()
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self.seconds)
        self._at_once -= 1
        return "192.0.2.1", 24000

    async def variable(self, _channel: str, _name: str) -> str:
        self._ask()
        return "call-1@host"

    async def set_variable(self, _channel: str, _name: str, _value: str) -> None:
        self._ask()

    async def continue_in_dialplan(self, channel: str) -> None:
        self._ask()
        self.given_back.append(channel)

    async def delete_channel(self, channel: str) -> None:
        self.deleted.append(channel)

    async def delete_bridge(self, bridge: str) -> None:
        self.deleted.append(bridge)


class Media:
    port = PORT

    def __init__(self) -> None:
        self.peer: tuple[str, int] | None = None
        self.closed = False
        self.first_arrival_ns: int | None = None

    def announce(self) -> tuple[str, int]:
        return "192.0.2.2", PORT

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
    media_format = "ulaw"

    def __init__(self) -> None:
        self.media = Media()
        self.held = False

    async def adopt(self, _call: str, port: int) -> Media:
        if self.held:
            raise Refused("NotReady", f"port {port}: Address already in use")
        return self.media


def context_of(asterisk: Asterisk, ports: Ports, entrance: Entrance | None = None) -> CallContext:
    return CallContext(
        client=cast("AriClient", asterisk),
        ports=cast("PortAllocator", ports),
        ids=CallIds.of_relay("node-1", "rtp-pool"),
        application="rtp-pool",
        counters=CallCounters(),
        monotonic=asyncio.get_running_loop().time,
        wall_ns=time.time_ns,
        draining=lambda: False,
        entrance=entrance or Entrance(),
    )


def adopting(asterisk: Asterisk, ports: Ports, left_ns: int | None = None) -> CallRunner:
    runner = CallRunner(context_of(asterisk, ports), "c", Channel("c", "PJSIP/c"), lambda _runner: None)
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


async def test_one_that_never_answers_ends_no_call_and_the_port_is_closed_when_the_relay_ends() -> None:
    asterisk, ports = Asterisk(answers_after_seconds=3600), Ports()
    runner = adopting(asterisk, ports)
    await asyncio.sleep(600)
    assert runner.record.state is CallState.ADOPTING
    runner.feed(CallEvent.CUT)
    await asyncio.sleep(1)
    assert runner.record.state is CallState.ENDED
    assert ports.media.closed
    assert (asterisk.deleted, asterisk.given_back) == ([], [])


async def test_a_port_that_another_relay_holds_is_left_alone_until_it_is_free(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asterisk, ports = Asterisk(answers_after_seconds=0), Ports()
    ports.held = True
    runner = adopting(asterisk, ports)
    await asyncio.sleep(600)
    assert runner.record.state is CallState.ADOPTING
    assert (asterisk.deleted, asterisk.given_back) == ([], [])
    assert len([line for line in caplog.messages if "is not adopted yet" in line]) == 1
    ports.held = False
    await asyncio.sleep(1)
    assert runner.record.state is CallState.TALKING
    await runner.abandon()


async def test_no_more_adoptions_than_the_bound_send_requests_at_once() -> None:
    asterisk, ports = Asterisk(answers_after_seconds=0), Ports()
    asterisk.seconds = 1.0
    context = context_of(asterisk, ports)
    runners = [CallRunner(context, f"c{i}", Channel(f"c{i}", "PJSIP/c"), lambda _runner: None) for i in range(40)]
    for runner in runners:
        runner.adopt(PORT)
    await asyncio.sleep(60)
    assert {runner.record.state for runner in runners} == {CallState.TALKING}
    assert asterisk.most_at_once == MAX_ADOPTIONS_AT_ONCE
    await asyncio.gather(*(runner.abandon() for runner in runners))


async def test_a_new_caller_gets_no_port_before_the_calls_of_an_earlier_relay_are_known() -> None:
    asterisk, ports = Asterisk(answers_after_seconds=0), Ports()
    context = context_of(asterisk, ports, Entrance())
    runner = CallRunner(context, "c", Channel("c", "PJSIP/c"), lambda _runner: None)
    runner.take()
    await asyncio.sleep(3.9)
    assert runner.record.state is CallState.OPENING
    await asyncio.sleep(1)
    assert (runner.record.state, runner.record.refused) == (CallState.ENDED, "NotReady")
    assert asterisk.given_back == ["c"]
    assert "which ports the calls of an earlier relay hold" in (runner.record.refusal or "")


async def test_a_user_without_rights_refuses_a_caller_at_once_with_the_reason() -> None:
    asterisk, ports = Asterisk(answers_after_seconds=0), Ports()
    entrance = Entrance()
    entrance.open()
    entrance.rights_problem = "ARI_USER=relay may not POST"
    runner = CallRunner(context_of(asterisk, ports, entrance), "c", Channel("c", "PJSIP/c"), lambda _runner: None)
    runner.take()
    await asyncio.sleep(0.1)
    assert (runner.record.refused, runner.record.refusal) == ("NotReady", "ARI_USER=relay may not POST")


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

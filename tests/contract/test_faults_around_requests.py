"""Faults around every request of a call leave nothing in Asterisk, lose no port, and each call is counted.

The calls, the session and the client are the relay's own, over real HTTP against the stand-in; ports are leased and
bound as the relay does it. Only packets are missing, so that hundreds of faults take seconds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import pytest

from rtppool_callgen.stand_in.ari_server import leave_alone
from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_callgen.stand_in.switchboard import SwitchboardError
from rtppool_core.contract.report import LateByCause
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.ari.session import SWEEP_SECONDS, AriSession
from rtppool_relay.calls import registry
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.record import CallCounters
from rtppool_relay.calls.registry import ENDED_RECENTLY_SECONDS, SOON_SECONDS, CallRegistry
from rtppool_relay.calls.runner import CallContext
from rtppool_relay.calls.sound import SILENT_AFTER_SECONDS
from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.media.port_sockets import PortSockets, bind_pair
from rtppool_relay.ports.interface import Refused
from rtppool_relay.ports.port_manager import PortManager, PortsExhausted
from rtppool_relay.streams.flow import MediaFlow
from rtppool_testing.ports import free_range
from rtppool_testing.waiting import until as wait_until

APPLICATION = "rtp-pool"
IDS = CallIds.of_node("node-1")
# Shorter than the regular sweep, so that an orphan which only the sweep would find fails the test.
WAIT_SECONDS = SWEEP_SECONDS - 2
REQUEST_SECONDS = 4.0
# Where a test lets a request time out.
IMPATIENT_SECONDS = 0.25
PORTS = 3
NO_FIGURES = CallFigures(0, 0, 0, 0, LateByCause(), 0, 0, 0)
Moment = Literal["before", "after"]


@dataclass(slots=True)
class BoundPort:
    """A `MediaPort` without a media process."""

    ports: PortManager
    sockets: PortSockets
    advertised_address: str = "127.0.0.1"
    closed: bool = False

    @property
    def port(self) -> int:
        return self.sockets.port

    async def connect(self, address: str, port: int) -> None:
        self.sockets.asterisk.connect((address, port))

    def figures(self) -> CallFigures:
        return NO_FIGURES

    def flow(self) -> MediaFlow:
        return MediaFlow(0, 0)

    async def close(self) -> CallFigures:
        if not self.closed:
            self.closed = True
            self.sockets.close()
            self.ports.release(self.port, time.monotonic())
        return NO_FIGURES


class PortsAlone:
    """A `PortAllocator` with real leases and sockets."""

    media_format = "ulaw"

    def __init__(self, ports: PortManager) -> None:
        self._ports = ports

    async def open(self, call: str) -> BoundPort:
        try:
            port = self._ports.lease(time.monotonic())
        except PortsExhausted as error:
            raise Refused("NoFreePort", f"{call}: {error}") from error
        return BoundPort(self._ports, bind_pair("127.0.0.1", port, 46))

    async def adopt(self, call: str, port: int) -> BoundPort:
        if not self._ports.lease_exactly(port):
            raise Refused("NoFreePort", f"{call}: port {port} is leased already")
        return BoundPort(self._ports, bind_pair("127.0.0.1", port, 46))

    async def audit(self, ports_of_calls: Iterable[int]) -> tuple[int, ...]:
        del ports_of_calls
        return ()


@dataclass(slots=True)
class Clock:
    """A monotonic clock that a test may set forward."""

    ahead_seconds: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_seconds


@dataclass(slots=True)
class Exchange:
    """A relay's calls, the stand-in, and one fault between them."""

    stand_in: StandIn
    calls: CallRegistry
    session: AriSession
    ports: PortManager
    clock: Clock
    happened: bool = False

    def when(self, method: str, path: str, moment: Moment, happens: Callable[[], Awaitable[None]]) -> None:
        """Inject a fault around the first request of this kind. `*` in its path is any id."""
        wanted = path.split("/")

        async def interfere(of: str, at: str, when: Moment) -> None:
            parts = at.split("/")
            fits = len(parts) == len(wanted) and all(w in {"*", p} for w, p in zip(wanted, parts, strict=True))
            if not self.happened and (of, when) == (method, moment) and fits:
                self.happened = True
                await happens()

        self.stand_in.interfere = interfere

    def ours(self) -> list[str]:
        """Return the channels and bridges in Asterisk with the relay's prefix."""
        board = self.stand_in.switchboard
        return [name for name in (*board.channels, *board.bridges) if IDS.parse(name)]


def request_seconds(request: pytest.FixtureRequest) -> float:
    """Return a time-out for a busy machine, or a short one where the time-out is the test."""
    parameters = getattr(request.node, "callspec", None)
    impatient = parameters is not None and parameters.params.get("fault") is asterisk_does_not_answer
    return IMPATIENT_SECONDS if impatient else REQUEST_SECONDS


@pytest.fixture
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[Exchange]:
    ports, clock = PortManager(free_range(PORTS), reuse_delay_seconds=0), Clock()
    async with StandIn("127.0.0.1", 0, "relay", "secret") as stand_in:
        client = AriClient(stand_in.url, "relay", "secret", request_seconds=request_seconds(request))
        context = CallContext(
            client=client,
            ports=PortsAlone(ports),
            ids=IDS,
            application=APPLICATION,
            counters=CallCounters(),
            monotonic=clock,
            wall_ns=time.time_ns,
            draining=lambda: False,
        )
        calls = CallRegistry(context)
        session = AriSession(client, stand_in.url, APPLICATION, calls, time.time_ns, random.uniform)
        running = asyncio.create_task(session.run())
        made = Exchange(stand_in, calls, session, ports, clock)
        await until(lambda: session.report().state == "Connected", "connected")
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await calls.close()
        await client.close()


async def until(condition: Callable[[], bool], expected: str) -> None:
    await wait_until(condition, expected, WAIT_SECONDS)


def talks(exchange: Exchange) -> bool:
    return any(call.state == "talking" for call in exchange.calls.live_calls())


async def nothing_is_left(exchange: Exchange) -> None:
    await until(lambda: exchange.calls.active_calls == 0, "no call is left")
    await until(lambda: not exchange.ours(), "no channel and no bridge of ours is left")
    await until(lambda: not exchange.stand_in.callers(), "no caller waits in the application")
    assert exchange.ports.report().leased == 0
    for port in exchange.ports.range:
        bind_pair("127.0.0.1", port, 46).close()
    counted(exchange)


def counted(exchange: Exchange) -> None:
    """Check that every call is in exactly one of the counts."""
    report = exchange.calls.report()
    assert report.ended == sum(report.ended_by.values())
    assert report.arrived == sum(report.refused.values()) + report.left_before_answer + report.ended + report.active


async def caller_hangs_up(exchange: Exchange) -> None:
    if "standin-1" in exchange.stand_in.switchboard.channels:
        exchange.stand_in.hang_up("standin-1")


async def media_goes(exchange: Exchange) -> None:
    if IDS.media("standin-1") in exchange.stand_in.switchboard.channels:
        exchange.stand_in.hang_up(IDS.media("standin-1"))


async def bridge_is_deleted(exchange: Exchange) -> None:
    if IDS.bridge("standin-1") in exchange.stand_in.switchboard.bridges:
        exchange.stand_in.switchboard.delete_bridge(IDS.bridge("standin-1"))


async def websocket_is_cut(exchange: Exchange) -> None:
    exchange.stand_in.hub.cut(APPLICATION)


async def asterisk_says_500(_exchange: Exchange) -> None:
    raise SwitchboardError(500, "Internal Server Error")


async def asterisk_does_not_answer(_exchange: Exchange) -> None:
    await asyncio.sleep(IMPATIENT_SECONDS + 0.1)


FAULTS = [
    caller_hangs_up,
    media_goes,
    bridge_is_deleted,
    websocket_is_cut,
    asterisk_says_500,
    asterisk_does_not_answer,
]
SETUP = [
    ("POST", "/channels/*/answer"),
    ("POST", "/bridges"),
    ("POST", "/channels/externalMedia"),
    ("POST", "/bridges/*/addChannel"),
    ("GET", "/channels/*/variable"),
]
TEARDOWN = [("DELETE", "/channels/*"), ("DELETE", "/bridges/*")]
MOMENTS: list[Moment] = ["before", "after"]
Fault = Callable[[Exchange], Awaitable[None]]


@pytest.mark.parametrize("start_after_reply", [False, True], ids=["starts before the reply", "starts after the reply"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("method", "path"), SETUP)
async def test_a_fault_around_a_request_of_the_set_up_leaves_nothing(
    exchange: Exchange, method: str, path: str, fault: Fault, moment: Moment, start_after_reply: bool
) -> None:
    exchange.stand_in.start_after_reply = start_after_reply
    exchange.when(method, path, moment, lambda: fault(exchange))
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.happened, "the fault happened")
    await until(lambda: talks(exchange) or exchange.calls.active_calls == 0, "the call talks or has ended")
    counted(exchange)
    if exchange.stand_in.callers():
        exchange.stand_in.hang_up("standin-1")
    await nothing_is_left(exchange)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("method", "path"), TEARDOWN)
async def test_a_fault_around_a_request_of_the_teardown_leaves_nothing(
    exchange: Exchange, method: str, path: str, fault: Fault, moment: Moment
) -> None:
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: talks(exchange), "the call talks")
    exchange.when(method, path, moment, lambda: fault(exchange))
    exchange.stand_in.hang_up("standin-1")
    await until(lambda: exchange.happened, "the fault happened")
    await nothing_is_left(exchange)


async def talking_call(exchange: Exchange) -> str:
    caller = exchange.stand_in.place_call(APPLICATION)
    await until(lambda: talks(exchange), "the call talks")
    return caller


async def connected_again(exchange: Exchange) -> None:
    before = exchange.session.report().reconnects
    exchange.stand_in.hub.cut(APPLICATION)
    await until(lambda: exchange.session.report().reconnects > before, "connected again")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("method", "path"), [("POST", "/channels/*/variable"), ("POST", "/channels/*/continue")])
async def test_a_fault_while_a_caller_is_refused_leaves_nothing(
    exchange: Exchange, method: str, path: str, fault: Fault, moment: Moment
) -> None:
    held = [exchange.ports.lease(0.0) for _ in range(PORTS)]
    exchange.when(method, path, moment, lambda: fault(exchange))
    exchange.stand_in.place_call(APPLICATION)
    await until(lambda: exchange.happened, "the fault happened")
    await until(lambda: exchange.calls.report().refused == {"NoFreePort": 1}, "the refusal is counted")
    for port in held:
        exchange.ports.release(port, 0.0)
    if exchange.stand_in.callers():
        exchange.stand_in.hang_up("standin-1")
    await nothing_is_left(exchange)


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
        exchange.stand_in.create_media(IDS.media(name), "another", "127.0.0.1:9", "ulaw")
        board.create_bridge(IDS.bridge(name))
    await connected_again(exchange)
    await talking_call(exchange)
    assert exchange.ours().count(IDS.media("stuck")) == 1
    assert exchange.calls.report().orphans_deleted == 41
    assert len([line for line in caplog.messages if "can't be deleted" in line]) == 1
    exchange.stand_in.interfere = leave_alone
    exchange.stand_in.hang_up("standin-1")
    await exchange.calls.compare()
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
    await exchange.calls.compare()
    await until(lambda: talks(exchange), "the call is adopted")
    assert (exchange.calls.report().adopted, exchange.calls.report().shared) == (1, 1)
    assert exchange.calls.live_calls()[0].port == port
    exchange.stand_in.interfere = leave_alone
    exchange.stand_in.hang_up("old")
    await exchange.calls.compare()
    await nothing_is_left(exchange)


async def test_a_comparison_that_fails_is_made_again_soon(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "RETRY_SECONDS", 0.2)
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
    exchange.stand_in.hub.cut(APPLICATION)
    exchange.stand_in.hang_up(caller)
    await nothing_is_left(exchange)
    assert (exchange.calls.report().ended_by, exchange.calls.report().cut) == ({"callerGone": 1}, 0)


async def test_a_caller_whom_another_client_puts_into_another_bridge_is_released_and_left_there(
    exchange: Exchange,
) -> None:
    caller = await talking_call(exchange)
    board = exchange.stand_in.switchboard
    board.create_bridge("meeting")
    board.add_to_bridge("meeting", [caller])
    await until(lambda: exchange.calls.active_calls == 0, "the call has ended")
    assert exchange.calls.report().ended_by == {"callerMoved": 1}
    await exchange.calls.compare()
    assert exchange.calls.active_calls == 0
    assert board.bridges["meeting"].channels == [caller]
    board.remove_from_bridge("meeting", caller)
    exchange.clock.ahead_seconds += ENDED_RECENTLY_SECONDS
    await exchange.calls.compare()
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
    await exchange.calls.compare()
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
    await exchange.calls.compare()
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


@pytest.mark.parametrize("seed", [1, 2])
async def test_callers_who_come_and_go_at_random_leave_nothing(exchange: Exchange, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        exchange.stand_in.start_after_reply = chance.random() < 0.5
        caller = exchange.stand_in.place_call(APPLICATION)
        await asyncio.sleep(chance.random() * 0.06)
        if caller in exchange.stand_in.callers():
            exchange.stand_in.hang_up(caller)
        counted(exchange)
    await nothing_is_left(exchange)
    assert exchange.calls.report().arrived == 40

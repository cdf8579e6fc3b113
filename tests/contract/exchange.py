"""A relay's calls, session and client over real HTTP against the stand-in. Ports are leased and bound as by a relay.

Only packets are missing, and so the media process.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Literal
from unittest.mock import patch

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.contract.report import LateByCause
from rtppool_core.net.udp import BindError
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_relay.ari import session as ari_session
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.ari.session import AriSession
from rtppool_relay.calls.comparison import Comparison
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.record import CallCounters
from rtppool_relay.calls.registry import CallRegistry
from rtppool_relay.calls.runner import CallContext
from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.media.port_sockets import PortSockets, bind_pair
from rtppool_relay.ports.interface import Refused
from rtppool_relay.ports.port_manager import PortManager, PortsExhausted
from rtppool_relay.streams.flow import MediaFlow
from rtppool_testing.ports import free_range
from rtppool_testing.waiting import until as wait_until

APPLICATION = "rtp-pool"
IDS = CallIds.of_relay("node-1", APPLICATION)
OLD_IDS = CallIds.of_node("node-1")
# The regular sweep would hide what a fault leaves. It comes after every wait, also on a busy machine.
NO_SWEEP_SECONDS = 90.0
WAIT_SECONDS = 45.0
PORTS = 3
NO_FIGURES = CallFigures(packets=0, answered=0, lost=0, late=LateByCause(), reordered=0, duplicates=0, too_late=0)
Moment = Literal["before", "after"]


@dataclass(slots=True)
class BoundPort:
    """A `MediaPort` without a media process."""

    ports: PortManager
    sockets: PortSockets
    closed: bool = False
    digit_seconds: list[float] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.sockets.port

    def announce(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def connect(self, address: str, port: int) -> None:
        self.sockets.asterisk.connect((address, port))

    def figures(self) -> CallFigures:
        return NO_FIGURES

    def excuse_digit(self, duration_seconds: float) -> None:
        self.digit_seconds.append(duration_seconds)

    async def observe_senders(self) -> str | None:
        return None

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
        self.opened: list[BoundPort] = []

    async def open(self, call: str) -> BoundPort:
        try:
            port = self._ports.lease(time.monotonic())
        except PortsExhausted as error:
            raise Refused("NoFreePort", f"{call}: {error}") from error
        self.opened.append(BoundPort(self._ports, bind_pair("127.0.0.1", port, 46)))
        return self.opened[-1]

    async def adopt(self, call: str, port: int) -> BoundPort:
        if not self._ports.lease_exactly(port):
            raise Refused("NoFreePort", f"{call}: port {port} is leased already")
        try:
            return BoundPort(self._ports, bind_pair("127.0.0.1", port, 46))
        except BindError as error:
            self._ports.release(port, time.monotonic())
            raise Refused("NotReady", str(error)) from error

    def hold(self, ports: frozenset[int]) -> None:
        self._ports.hold(ports)

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
    comparison: Comparison
    session: AriSession
    ports: PortManager
    opened: list[BoundPort]
    clock: Clock
    client: AriClient
    running: asyncio.Task[None]
    draining: bool = False
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

    async def end(self) -> None:
        """End the relay. Its calls go on in Asterisk."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.calls.close()
        await self.client.close()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Lose the events of what happens meanwhile."""
        queue = self.stand_in.hub._queues.pop(APPLICATION)
        try:
            yield
        finally:
            self.stand_in.hub._queues[APPLICATION] = queue

    def ours(self) -> list[str]:
        """Return the channels and bridges in Asterisk with the relay's prefix."""
        board = self.stand_in.switchboard
        return [name for name in (*board.channels, *board.bridges) if IDS.parse(name)]


@asynccontextmanager
async def running_exchange(
    request_seconds: float, previous: Exchange | None = None, ports_in_range: int = PORTS
) -> AsyncIterator[Exchange]:
    """Connect calls to a stand-in, or to the one of a `previous` relay, which ends as a killed process does."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.object(ari_session, "SWEEP_SECONDS", NO_SWEEP_SECONDS))
        if previous is None:
            ports = PortManager(free_range(ports_in_range), reuse_delay_seconds=0)
            stand_in = await stack.enter_async_context(StandIn("127.0.0.1", 0, "relay", "secret"))
        else:
            ports = PortManager(previous.ports.range, reuse_delay_seconds=0)
            stand_in = previous.stand_in
            await previous.end()
        allocator = PortsAlone(ports)
        client = AriClient(stand_in.url, "relay", "secret", request_seconds=request_seconds)
        context = CallContext(
            client=client,
            ports=allocator,
            ids=IDS,
            application=APPLICATION,
            counters=CallCounters(),
            monotonic=clock,
            wall_ns=time.time_ns,
            draining=lambda: exchange.draining,
            old_ids=(OLD_IDS,),
        )
        calls = CallRegistry(context)
        comparison = Comparison(calls)
        session = AriSession(
            *(client, stand_in.url, APPLICATION, calls, comparison, time.time_ns, random.uniform, PeriodicJobs())
        )
        running = asyncio.create_task(session.run())
        exchange = Exchange(*(stand_in, calls, comparison, session, ports, allocator.opened, clock, client, running))
        await until(lambda: session.report().state in {"Connected", "Unauthorized"}, "connected")
        yield exchange
        await exchange.end()


async def until(condition: Callable[[], bool], expected: str, within_seconds: float = WAIT_SECONDS) -> None:
    await wait_until(condition, expected, within_seconds)


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


async def talking_call(exchange: Exchange) -> str:
    caller = exchange.stand_in.place_call(APPLICATION)
    await until(lambda: talks(exchange), "the call talks")
    return caller


async def connected_again(exchange: Exchange) -> None:
    before = exchange.session.report().reconnects
    exchange.stand_in.hub.disconnect(APPLICATION)
    await until(lambda: exchange.session.report().reconnects > before, "connected again")


async def caller_hangs_up(exchange: Exchange) -> None:
    if "standin-1" in exchange.stand_in.switchboard.channels:
        exchange.stand_in.hang_up("standin-1")

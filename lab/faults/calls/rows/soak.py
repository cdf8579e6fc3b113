"""A soak: short calls through the Asterisk stand-in; no process grows, and no port is lost."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.base.descriptors import open_descriptors
from lab.base.idle_connections import ask
from lab.base.keeper import Keeper
from lab.base.places import LOOPBACK
from lab.base.proc import children_of, media_pids, private_bytes
from lab.base.report import Figure
from lab.base.waiting import wait_until
from lab.faults.calls.places import ECHO_HTTP_PORT, ECHO_PORT, RELAY_HTTP_PORT
from lab.faults.calls.rig.asterisk import USER
from lab.faults.calls.rig.relay import (
    APPLICATION,
    RelayView,
    echo_command,
    echo_environment,
    relay_command,
    relay_environment,
    tracebacks_of,
)
from lab.faults.calls.rig.rig import TAKES_ALL, UP_SECONDS, Ports
from lab.faults.calls.rounds.accounts import uncounted
from lab.faults.calls.rows.rows import Row, RowResult, Stage
from rtppool_callgen.callers.serve import call_by_plan
from rtppool_callgen.plan.caller_events import CallerEvent, Ended, NotPlaced, Over, Placed
from rtppool_callgen.plan.plan import PAUSE_SECONDS, LoadPlan
from rtppool_callgen.stand_in.stand_in import StandIn

MINUTES, CALLS = 30, 10_000
LINES, CALL_SECONDS, LINES_PER_SECOND = 18, 3.0, 6.0
WARM_SHARE = 1 / 6  # minute 5 of 30
MAX_GROWTH_BYTES = 2 << 20
# Longer than the relay keeps a connection of past calls to Asterisk, and than a port rests.
QUIET_SECONDS = 12.0
POLL_EVERY_SECONDS = 5.0
PAGES = ("/health", "/ready", "/status", "/calls", "/metrics", "/sla")


@dataclass(frozen=True, slots=True)
class SoakPorts:
    """The ports of relay and echo."""

    relay_http: int = RELAY_HTTP_PORT
    echo: int = ECHO_PORT
    echo_http: int = ECHO_HTTP_PORT
    relay: Ports = field(default_factory=Ports)


@dataclass(slots=True)
class Tally:
    """The events of the stand-in's callers."""

    placed: int = 0
    not_placed: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    left_behind: int = 0

    def add(self, event: CallerEvent) -> None:
        """Count an event."""
        match event:
            case Placed():
                self.placed += 1
            case NotPlaced():
                self.not_placed += 1
            case Ended():
                self.ends[event.outcome if event.reason is None else f"{event.outcome}: {event.reason}"] += 1
            case Over():
                self.left_behind += (event.channels_left or 0) + (event.bridges_left or 0)


@dataclass(frozen=True, slots=True)
class Usage:
    """Private memory and descriptors of a process."""

    private: int
    descriptors: int


@dataclass(slots=True)
class _Parts:
    """Stand-in, relay and echo of a soak."""

    stand_in: StandIn
    relay: Keeper
    echo: Keeper
    view: RelayView

    def usage(self) -> dict[str, Usage]:
        """Return the usage of each process by name and id."""
        named = {
            "relay": [self.relay.pid],
            "media": media_pids(self.relay.pid),
            "echo": [self.echo.pid],
            "echo's worker": children_of(self.echo.pid),
        }
        return {
            f"{name} {pid}": Usage(private_bytes(pid), open_descriptors(pid))
            for name, pids in named.items()
            for pid in pids
        }

    async def is_connected(self) -> bool:
        """Return whether calls can be placed."""
        status = await self.view.status()
        return bool(status and status["ready"] and status["ari"]["state"] == "Connected")


async def _soak(stage: Stage, result: RowResult) -> None:
    await soak(stage.folder, stage.minutes, SoakPorts(), stage.say, result)


async def soak(folder: Path, minutes: float, ports: SoakPorts, say: Callable[[str], None], result: RowResult) -> None:
    """Soak relay and echo for so many minutes of calls."""
    tally = Tally()
    async with _running(folder, ports) as parts:
        await wait_until("the relay is ready and connected", parts.is_connected, UP_SECONDS)
        await _call(parts, ports, minutes * WARM_SHARE, tally)
        before = parts.usage()
        say(f"{tally.placed} calls; from here on nothing may grow: {_line(before)}")
        await _call(parts, ports, minutes * (1 - WARM_SHARE), tally)
        after, status = parts.usage(), await parts.view.status()
        say(f"{tally.placed} calls: {_line(after)}")
        result.findings += [f"traceback: {each[-400:]}" for each in tracebacks_of(parts.relay.log_text())[:2]]
    result.figures += soak_figures(minutes, tally, before, after, status or {})
    result.findings += uncounted(status["calls"]) if status else ["the relay does not answer"]


@asynccontextmanager
async def _running(folder: Path, ports: SoakPorts) -> AsyncIterator[_Parts]:
    password = secrets.token_urlsafe(18)
    async with AsyncExitStack() as stack:
        stand_in = await stack.enter_async_context(StandIn(LOOPBACK, 0, USER, password))
        view = RelayView(ports.relay_http)
        stack.push_async_callback(view.close)
        port = int(stand_in.url.rpartition(":")[2].partition("/")[0])
        of_relay = {
            **relay_environment(port, password, str(ports.relay)),
            **TAKES_ALL.settings,
            "HTTP_PORT": str(ports.relay_http),
            "ECHO_PORT": str(ports.echo),
        }
        of_echo = {**echo_environment(), "HTTP_PORT": str(ports.echo_http), "ECHO_PORT": str(ports.echo)}
        echo = Keeper("echo", echo_command(), of_echo, folder / "echo.log")
        relay = Keeper("relay", relay_command(), of_relay, folder / "relay.log")
        for keeper in (echo, relay):
            stack.push_async_callback(keeper.close)
            await keeper.start()
        yield _Parts(stand_in, relay, echo, view)


def plan_of(minutes: float) -> LoadPlan:
    """Return the plan of so many minutes."""
    seconds = max(minutes * 60 * CALL_SECONDS / (CALL_SECONDS + PAUSE_SECONDS), CALL_SECONDS)
    return LoadPlan(LINES, LINES_PER_SECOND, seconds, CALL_SECONDS)


def calls_of(minutes: float) -> int:
    """Return the calls of a soak."""
    return plan_of(minutes * WARM_SHARE).calls + plan_of(minutes * (1 - WARM_SHARE)).calls


async def _call(parts: _Parts, ports: SoakPorts, minutes: float, tally: Tally) -> None:
    """Place the calls of so many minutes while others poll, and wait until everything is quiet."""
    polling = asyncio.create_task(_poll(ports))
    try:
        await call_by_plan(parts.stand_in, APPLICATION, plan_of(minutes), asyncio.Event(), tally.add)
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
    await asyncio.sleep(QUIET_SECONDS)


async def _poll(ports: SoakPorts) -> None:
    """Read every page now and then, as a kubelet, a scraper and an operator do."""
    while True:
        await ask(ports.relay_http, PAGES, 1)
        await ask(ports.echo_http, PAGES[:2], 1)
        await asyncio.sleep(POLL_EVERY_SECONDS)


def soak_figures(
    minutes: float, tally: Tally, before: Mapping[str, Usage], after: Mapping[str, Usage], status: Mapping[str, Any]
) -> list[Figure]:
    """Return the figures of a soak: calls, growth of each process, and the ports."""
    wanted = calls_of(minutes)
    ports, calls = status.get("ports", {}), status.get("calls", {})
    growth = [
        Figure(
            f"{name}, private memory (MB)",
            f"{before[name].private / 1e6:.1f} to {after[name].private / 1e6:.1f}",
            f"<= {MAX_GROWTH_BYTES >> 20} more",
            after[name].private - before[name].private <= MAX_GROWTH_BYTES,
        )
        for name in sorted(before.keys() & after.keys())
    ]
    descriptors = [
        Figure(
            f"{name}, descriptors",
            f"{before[name].descriptors} to {after[name].descriptors}",
            "0 more",
            after[name].descriptors <= before[name].descriptors,
        )
        for name in sorted(before.keys() & after.keys())
    ]
    ended = ", ".join(f"{count} {name}" for name, count in sorted(tally.ends.items()))
    lost = len(before.keys() - after.keys())
    return [
        Figure("calls placed", str(tally.placed), f">= {wanted}", tally.placed >= wanted),
        Figure(
            "calls that ended", ended, "all completed", tally.ends["completed"] == tally.placed and not tally.not_placed
        ),
        _none("calls cut by the relay", calls.get("cut")),
        _none("channels and bridges left behind", tally.left_behind),
        _none("ports still leased", ports.get("leased")),
        _none("ports set aside", ports.get("quarantined")),
        _none("processes that were replaced", lost),
        *growth,
        *descriptors,
    ]


def _none(name: str, count: int | None) -> Figure:
    return Figure(name, "not measured" if count is None else str(count), "0", count == 0)


def _line(usage: Mapping[str, Usage]) -> str:
    return ", ".join(f"{name}: {each.private / 1e6:.1f} MB, {each.descriptors}" for name, each in usage.items())


SOAK = Row("soak", f"{CALLS} short calls in {MINUTES} minutes, through the stand-in", MINUTES * 60 + 60, _soak)

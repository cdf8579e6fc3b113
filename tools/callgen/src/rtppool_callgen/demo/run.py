"""`python -m rtppool_callgen run`: echo, relay and stand-in on this machine, with a live table of what they measure."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rtppool_callgen.demo.live_table import headline, live_table, summary, verdict_line
from rtppool_callgen.demo.relay_view import RelayView, relay_view
from rtppool_callgen.local.processes import Child
from rtppool_callgen.local.system import (
    LocalSystem,
    end_all,
    new_stand_in_address,
    start_services,
    start_stand_in,
    until_ready,
)
from rtppool_core.process.service import Stop

REFRESH_SECONDS = 1.0
PLAIN_EVERY_SECONDS = 5.0
PER_SECOND = 25.0
_DOCUMENTS = ("/status", "/sla", "/calls")


@dataclass(frozen=True, slots=True)
class Demo:
    """Options of the demonstration. `seconds` 0 runs until Ctrl-C."""

    calls: int
    seconds: float
    system: LocalSystem = field(default_factory=LocalSystem)


async def run_demo(demo: Demo, console: Console, stop: Stop) -> None:
    """Run until `stop`, or for `demo.seconds`.

    Raises:
        ChildFailed: a process did not start or ended by itself. The message has the last lines of its log.
    """
    with tempfile.TemporaryDirectory(prefix="rtp-pool-run-") as logs:
        callers = ["--calls", str(demo.calls), "--per-second", str(PER_SECOND)]
        ari = new_stand_in_address()
        children = start_services(demo.system, ari, Path(logs))
        children.append(start_stand_in(ari, callers, Path(logs)))
        started = time.monotonic()
        try:
            async with aiohttp.ClientSession(base_url=demo.system.address) as http:
                await until_ready(http, children, stop)
                console.print(f"ready in {time.monotonic() - started:.1f} s; {demo.calls} calls are placed")
                view = await _watch(demo, http, children, console, stop)
                if view is not None:
                    console.print(summary(view, time.monotonic() - started))
        finally:
            await end_all(children)


async def _watch(
    demo: Demo, http: aiohttp.ClientSession, children: list[Child], console: Console, stop: Stop
) -> RelayView | None:
    """Show the relay until the end. Returns the last view."""
    ends_at = time.monotonic() + demo.seconds if demo.seconds else None
    view: RelayView | None = None
    shown_at = 0.0
    with Live(console=console, refresh_per_second=4, transient=True, auto_refresh=console.is_terminal) as live:
        while not stop.asked.is_set() and (ends_at is None or time.monotonic() < ends_at):
            for child in children:
                child.check()
            view = await _read(http)
            if console.is_terminal:
                live.update(live_table(view, demo.system.address, rows=max(5, console.height - 8)))
            elif time.monotonic() - shown_at >= PLAIN_EVERY_SECONDS:
                shown_at = time.monotonic()
                console.print(Text(headline(view)), verdict_line(view), sep="\n")
            await _pause(stop)
    return view


async def _read(http: aiohttp.ClientSession) -> RelayView:
    documents = []
    for path in _DOCUMENTS:
        async with http.get(path) as response:
            documents.append(await response.json())
    return relay_view(*documents)


async def _pause(stop: Stop) -> None:
    try:
        async with asyncio.timeout(REFRESH_SECONDS):
            await stop.asked.wait()
    except TimeoutError:
        return

"""`python -m rtppool_callgen run`: echo, relay and stand-in on this machine, with a live table of what they measure."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from rtppool_callgen.demo.controls import Controls
from rtppool_callgen.demo.keyboard import has_keyboard, keys_of_terminal
from rtppool_callgen.demo.live_seconds import LiveSeconds
from rtppool_callgen.demo.live_table import headline, keys_line, live_table, summary, verdict_line
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
# What stands above and below the calls.
LINES_AROUND = 12
PER_SECOND = 25.0
_DOCUMENTS = ("/status", "/sla", "/calls")


@dataclass(frozen=True, slots=True)
class Demo:
    """Options of the demonstration. `seconds` 0 runs until Ctrl-C."""

    calls: int
    seconds: float
    system: LocalSystem = field(default_factory=LocalSystem)


async def run_demo(demo: Demo, console: Console, stop: Stop) -> None:
    """Run until `stop`, or for `demo.seconds`. In a terminal, keys change the situation.

    Raises:
        ChildFailed: a process did not start or ended by itself. The message has the last lines of its log.
    """
    _stop_with_terminal(stop)
    console.print(f"live page {demo.system.address}/   report {demo.system.address}/sla")
    with tempfile.TemporaryDirectory(prefix="rtp-pool-run-") as folder:
        callers = ["--calls", str(demo.calls), "--per-second", str(PER_SECOND)]
        ari = new_stand_in_address()
        echo, *others = start_services(demo.system, ari, Path(folder))
        others.append(start_stand_in(ari, callers, Path(folder)))
        controls = Controls(demo.system, ari, Path(folder), echo, stop)
        started = time.monotonic()
        try:
            async with aiohttp.ClientSession(base_url=demo.system.address) as http:
                await until_ready(http, [echo, *others], stop)
                console.print(f"ready in {time.monotonic() - started:.1f} s; {demo.calls} calls are placed")
                view = await _Watch(demo, http, others, controls, console, stop).run()
                if view is not None:
                    console.print(summary(view, time.monotonic() - started))
        finally:
            await end_all(others)
            await controls.close()


class _Watch:
    """Shows the relay until the end, and has the keys obeyed."""

    def __init__(
        self,
        demo: Demo,
        http: aiohttp.ClientSession,
        children: list[Child],
        controls: Controls,
        console: Console,
        stop: Stop,
    ) -> None:
        self._demo = demo
        self._http = http
        self._children = children
        self._controls = controls
        self._console = console
        self._stop = stop
        self._seconds = LiveSeconds()
        self._tasks: list[asyncio.Task[None]] = []
        self._has_keys = console.is_terminal and has_keyboard()

    async def run(self) -> RelayView | None:
        """Show the relay. Returns the last view."""
        with contextlib.ExitStack() as stack:
            self._tasks.append(asyncio.create_task(self._seconds.follow(self._http)))
            if self._has_keys:
                keys = stack.enter_context(keys_of_terminal(self._stop.request))
                self._tasks.append(asyncio.create_task(self._controls.obey(keys)))
            try:
                return await (self._show_table() if self._console.is_terminal else self._print_lines())
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _show_table(self) -> RelayView | None:
        view: RelayView | None = None
        with Live(console=self._console, refresh_per_second=4, transient=True) as live:
            async for view in self._views():
                rows = max(5, self._console.height - LINES_AROUND)
                table = live_table(view, self._demo.system.address, self._seconds.latest, rows)
                # A low terminal cuts the end off.
                live.update(Group(*self._key_lines(), table))
        return view

    def _key_lines(self) -> Iterator[Text]:
        if self._has_keys:
            yield keys_line(self._controls.keys)
        if self._controls.message:
            yield Text(self._controls.message, style="red")

    async def _print_lines(self) -> RelayView | None:
        view: RelayView | None = None
        printed_at = 0.0
        async for view in self._views():
            if time.monotonic() - printed_at >= PLAIN_EVERY_SECONDS:
                printed_at = time.monotonic()
                self._console.print(Text(headline(view)), verdict_line(view), sep="\n")
        return view

    async def _views(self) -> AsyncIterator[RelayView]:
        """Yield the relay's view with each second of calls, until the end."""
        ends_at = time.monotonic() + self._demo.seconds if self._demo.seconds else None
        while not self._stop.asked.is_set() and (ends_at is None or time.monotonic() < ends_at):
            for child in self._children:
                child.check()
            self._controls.check()
            for task in self._tasks:
                if task.done():
                    task.result()
            self._seconds.news.clear()
            yield await _read(self._http)
            await self._pause()

    async def _pause(self) -> None:
        """Wait for the next second of calls, at most `REFRESH_SECONDS`."""
        waits = [asyncio.create_task(each.wait()) for each in (self._stop.asked, self._seconds.news)]
        await asyncio.wait(waits, timeout=REFRESH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _stop_with_terminal(stop: Stop) -> None:
    """Stop when the terminal closes, so that no process is left. Under nohup the signal stays ignored."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, stop.request)


async def _read(http: aiohttp.ClientSession) -> RelayView:
    documents = []
    for path in _DOCUMENTS:
        async with http.get(path) as response:
            documents.append(await response.json())
    return relay_view(*documents)

"""`python -m rtppool_callgen run`: echo, relay and stand-in on this machine, with a live table of what they measure."""

from __future__ import annotations

import asyncio
import secrets
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rtppool_callgen.live_table import headline, live_table, summary, verdict_line
from rtppool_callgen.processes import Child, ChildFailed, start
from rtppool_callgen.relay_view import RelayView, relay_view
from rtppool_core.service import Stop

LOOPBACK = "127.0.0.1"
START_SECONDS = 20.0
REFRESH_SECONDS = 1.0
PLAIN_EVERY_SECONDS = 5.0
PER_SECOND = 25.0
_DOCUMENTS = ("/status", "/sla", "/calls")


@dataclass(frozen=True, slots=True)
class Demo:
    """What to run. `seconds` 0 runs until Ctrl-C."""

    calls: int
    seconds: float
    http_port: int = 9090
    echo_http_port: int = 9091
    port_range: str = "10000-10100"
    echo_port: int = 4000

    @property
    def address(self) -> str:
        """Where the relay's HTTP side is."""
        return f"http://{LOOPBACK}:{self.http_port}"


async def run_demo(demo: Demo, console: Console, stop: Stop) -> None:
    """Run until asked to stop, or for `demo.seconds`.

    Raises:
        ChildFailed: a process did not start or ended by itself; says its last words.
    """
    with tempfile.TemporaryDirectory(prefix="rtp-pool-run-") as logs:
        children = _start(demo, Path(logs))
        started = time.monotonic()
        try:
            async with aiohttp.ClientSession(base_url=demo.address) as http:
                await _until_ready(http, children, stop)
                console.print(f"ready in {time.monotonic() - started:.1f} s; {demo.calls} calls are placed")
                view = await _watch(demo, http, children, console, stop)
                if view is not None:
                    console.print(summary(view, time.monotonic() - started))
        finally:
            # The stand-in first: its callers hang up, so the relay has nothing to wait for.
            for child in reversed(children):
                await child.end()


def _start(demo: Demo, logs: Path) -> list[Child]:
    """Echo, relay and stand-in, in this order, with a password made for this run."""
    ari_port = _free_port()
    ari = {"ARI_USER": "rtp-pool", "ARI_PASS": secrets.token_urlsafe(18)}
    echo = {
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(demo.echo_port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(demo.echo_http_port),
    }
    relay = {
        **ari,
        "ARI_URL": f"http://{LOOPBACK}:{ari_port}/ari",
        "BIND_IP": LOOPBACK,
        "ADVERTISE_IP": LOOPBACK,
        "PORT_RANGE": demo.port_range,
        "ECHO_HOST": LOOPBACK,
        "ECHO_PORT": str(demo.echo_port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(demo.http_port),
    }
    stand_in = ["rtppool_callgen", "serve", "--bind", LOOPBACK, "--port", str(ari_port)]
    stand_in += ["--calls", str(demo.calls), "--per-second", str(PER_SECOND)]
    return [
        start("echo", ["rtppool_echo"], echo, logs),
        start("relay", ["rtppool_relay"], relay, logs),
        start("stand-in", stand_in, ari, logs),
    ]


async def _until_ready(http: aiohttp.ClientSession, children: list[Child], stop: Stop) -> None:
    deadline = time.monotonic() + START_SECONDS
    answer = "nothing answers yet"
    while not stop.asked.is_set():
        for child in children:
            child.check()
        try:
            async with http.get("/ready") as response:
                if response.ok:
                    return
                answer = (await response.text()).strip()
        except aiohttp.ClientError as error:
            answer = str(error)
        if time.monotonic() > deadline:
            raise ChildFailed(f"the relay was not ready within {START_SECONDS:.0f} s: {answer}")
        await asyncio.sleep(0.1)


async def _watch(
    demo: Demo, http: aiohttp.ClientSession, children: list[Child], console: Console, stop: Stop
) -> RelayView | None:
    """Show the relay until the end; returns the last view."""
    ends_at = time.monotonic() + demo.seconds if demo.seconds else None
    view: RelayView | None = None
    shown_at = 0.0
    with Live(console=console, refresh_per_second=4, transient=True, auto_refresh=console.is_terminal) as live:
        while not stop.asked.is_set() and (ends_at is None or time.monotonic() < ends_at):
            for child in children:
                child.check()
            view = await _look(http)
            if console.is_terminal:
                live.update(live_table(view, demo.address, rows=max(5, console.height - 8)))
            elif time.monotonic() - shown_at >= PLAIN_EVERY_SECONDS:
                shown_at = time.monotonic()
                console.print(Text(headline(view)), verdict_line(view), sep="\n")
            await _pause(stop)
    return view


async def _look(http: aiohttp.ClientSession) -> RelayView:
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])

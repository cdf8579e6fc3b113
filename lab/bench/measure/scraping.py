"""The effect of a scrape every second on 400 calls, with scraping on and off in turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.base.places import LOOPBACK
from lab.bench.load.load_generator import load_generator
from lab.bench.measure.interleaved import interleaved
from lab.bench.places import ECHO_PORT, FIRST_RELAY_PORT
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.session import Session
from lab.bench.subjects.own import NODE, OwnRelay, own_echo, own_relay
from rtppool_core.contract.codec import from_json
from rtppool_core.contract.pools_file import EchoTarget, NodeAssignment, PoolEntry, PoolsDocument, SlaLimits, encode
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import HistogramExport, import_histogram

CALLS = 400
SCRAPED, UNSCRAPED = "scraped", "unscraped"
SCRAPE_EVERY_SECONDS = 1.0
WINDOW_SECONDS = 10
# The window's seconds with one before and one after, then the time until the last of them is closed.
PHASE_SECONDS, CLOSES_SECONDS = WINDOW_SECONDS + 2.0, 4.2
SECONDS_AROUND = 20.0
NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class Phase:
    """The figures of one window in `/status`."""

    p99_us: float
    late_percent: float


def estimated_seconds(session: Session) -> float:
    """Return the duration of all phases."""
    return (session.rounds + 1) * 2 * (PHASE_SECONDS + CLOSES_SECONDS) + SECONDS_AROUND


async def run(session: Session) -> Result:
    """Run one relay and one load, and switch the scraping on and off."""
    pools = _short_window(session.folder)
    async with (
        own_echo(session.folder),
        load_generator(session.programs.load, session.folder, CALLS, estimated_seconds(session)) as generator,
        own_relay(generator.ports, session.folder, {"POOL_CONFIG": str(pools)}) as relay,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        found = await interleaved(session, [UNSCRAPED, SCRAPED], lambda name: _phase(relay, scraped=name == SCRAPED))
        generator.stop()
        await generator.until_sent()
        lost = (await generator.result()).lost
    p99 = {name: [phase.p99_us for phase in phases] for name, phases in found.items()}
    late = {name: [phase.late_percent for phase in phases] for name, phases in found.items()}
    more_late = [abs(with_ - without) for with_, without in zip(late[SCRAPED], late[UNSCRAPED], strict=True)]
    return Result(
        [
            Figure(
                f"scraped every second, {CALLS} calls: p99 ÷ unscraped",
                ratios(p99[SCRAPED], p99[UNSCRAPED]),
                target=1.1,
            ),
            Figure(f"scraped every second, {CALLS} calls: late, off unscraped by", more_late, "points", 0.01),
            *(Figure(f"p99 at {CALLS} calls, {name}", values, "µs") for name, values in p99.items()),
            *(Figure(f"late at {CALLS} calls, {name}", values, "%") for name, values in late.items()),
            Figure(
                f"scraped and unscraped, {CALLS} calls: sent and not returned",
                [lost],
                "packets",
                0,
                "worst",
                breaks=True,
            ),
        ]
    )


async def _phase(relay: OwnRelay, *, scraped: bool) -> Phase:
    async with _scraping(relay) if scraped else contextlib.nullcontext():
        await asyncio.sleep(PHASE_SECONDS)
    await asyncio.sleep(CLOSES_SECONDS)
    window = (await relay.get("/status"))["windows"]["calls"]
    histogram = import_histogram(from_json(HistogramExport, window["roundTrip"], "roundTrip"))
    late = window["late"]["relay"] + window["late"]["echo"]
    return Phase((histogram.quantile_ns(990) or 0) / NS_PER_US, 100 * late / window["packets"])


@asynccontextmanager
async def _scraping(relay: OwnRelay) -> AsyncIterator[None]:
    async def scrape_forever() -> None:
        while True:
            await relay.metrics()
            await asyncio.sleep(SCRAPE_EVERY_SECONDS)

    task = asyncio.create_task(scrape_forever())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _short_window(folder: Path) -> Path:
    """Write a pools file with a window as long as a phase."""
    entry = PoolEntry(
        name="bench",
        namespace="bench",
        uid="bench",
        generation=1,
        nodes=(NodeAssignment(NODE, LOOPBACK),),
        port_range=PortRange(FIRST_RELAY_PORT, FIRST_RELAY_PORT + CALLS),
        echo=EchoTarget(LOOPBACK, ECHO_PORT),
        sla=SlaLimits(window_seconds=WINDOW_SECONDS),
    )
    path = folder / "pools.json"
    path.write_text(encode(PoolsDocument((entry,))))
    return path

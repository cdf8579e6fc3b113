"""The effect of a scrape every second on 400 calls, with scraping on and off in turn."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from lab.bench.load.readers import scraped
from lab.bench.measure.switched import PHASE_SECONDS, closed_window, switched
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.session import Session
from lab.bench.subjects.own import OwnRelay

CALLS = 400
SCRAPED, UNSCRAPED = "scraped", "unscraped"
SCRAPE_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Phase:
    """The figures of one window in `/status`."""

    p99_us: float
    late_percent: float


async def run(session: Session) -> Result:
    """Switch the scraping on and off."""
    found, lost = await switched(session, CALLS, UNSCRAPED, SCRAPED, _phase)
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


async def _phase(relay: OwnRelay, is_scraped: bool) -> Phase:
    async with scraped(relay, SCRAPE_EVERY_SECONDS) if is_scraped else contextlib.nullcontext():
        await asyncio.sleep(PHASE_SECONDS)
    window, p99_us = await closed_window(relay)
    late = window["late"]["relay"] + window["late"]["echo"]
    return Phase(p99_us, 100 * late / window["packets"])

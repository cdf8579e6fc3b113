"""One relay and one load, while something beside them is switched on and off in turn: the window of each phase."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from lab.bench.load.load_generator import load_generator
from lab.bench.measure.interleaved import interleaved
from lab.bench.session import Session
from lab.bench.subjects.own import OwnRelay, own_echo, own_relay, pool_with
from rtppool_core.contract.codec import from_json
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import HistogramExport, import_histogram
from rtppool_core.units import NS_PER_US

WINDOW_SECONDS = 10
# The window's seconds with one before and one after, then the time until the last of them is closed.
PHASE_SECONDS, CLOSES_SECONDS = WINDOW_SECONDS + 2.0, 4.2
SECONDS_AROUND = 20.0

Phase = TypeVar("Phase")


def estimated_seconds(session: Session) -> float:
    """Return the duration of all phases."""
    return (session.rounds + 1) * 2 * (PHASE_SECONDS + CLOSES_SECONDS) + SECONDS_AROUND


async def switched(
    session: Session, calls: int, off: str, on: str, observe: Callable[[OwnRelay, bool], Awaitable[Phase]]
) -> tuple[dict[str, list[Phase]], int]:
    """Return the phases under the names `off` and `on`, and the number of packets that were lost in all."""
    # The window is as long as a phase.
    pools = pool_with(session.folder, calls, SlaLimits(window_seconds=WINDOW_SECONDS))
    async with (
        own_echo(session.folder),
        load_generator(session.programs.load, session.folder, calls, estimated_seconds(session)) as generator,
        own_relay(generator.ports, session.folder, {"POOL_CONFIG": str(pools)}) as relay,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        found = await interleaved(session, [off, on], lambda name: observe(relay, name == on))
        generator.stop()
        await generator.until_sent()
        return found, (await generator.result()).lost


async def closed_window(relay: OwnRelay) -> tuple[dict[str, Any], float]:
    """Wait until a phase's window is closed, and return it as in `/status`, with the p99 of its round trips (µs)."""
    await asyncio.sleep(CLOSES_SECONDS)
    window = (await relay.get("/status"))["windows"]["calls"]
    histogram = import_histogram(from_json(HistogramExport, window["roundTrip"], "roundTrip"))
    return window, (histogram.quantile_ns(990) or 0) / NS_PER_US

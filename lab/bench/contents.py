"""The measurements, in the order in which they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab.bench.measure import (
    causes,
    echo_cost,
    extension,
    hostile,
    latency,
    lossless,
    overload,
    page,
    page_age,
    relay_cost,
    restart,
    scraping,
    stalls,
    start,
    sustained,
    switched,
    truth,
    witnesses,
)
from lab.bench.results.figures import Result
from lab.bench.session import Session


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement: its name on the command line, its title, its duration and its function.

    `compares_relays`: rtpengine and the relay in Go take part where they are installed.
    """

    name: str
    title: str
    estimated_seconds: Callable[[Session], float]
    run: Callable[[Session], Awaitable[Result]]
    compares_relays: bool = False


CONTENTS = (
    Measurement(
        "relay-cost", "CPU per packet of the relays", relay_cost.estimated_seconds, relay_cost.run, compares_relays=True
    ),
    Measurement("echo-cost", "CPU per packet of the echoes", echo_cost.estimated_seconds, echo_cost.run),
    Measurement("latency", "Round trip at 101 calls", latency.estimated_seconds, latency.run),
    Measurement("sustained", "400 calls on one media process", sustained.estimated_seconds, sustained.run),
    Measurement("lossless", "Calls without loss", lossless.estimated_seconds, lossless.run, compares_relays=True),
    Measurement("scraping", "Scraping on and off", switched.estimated_seconds, scraping.run),
    Measurement("page", "The live page with ten watchers", switched.estimated_seconds, page.run),
    Measurement("page-age", "The age of the live page's figures", page_age.estimated_seconds, page_age.run),
    Measurement("truth", "Against an echo with known delays", truth.estimated_seconds, truth.run),
    Measurement("causes", "Late packets of known cause", causes.estimated_seconds, causes.run),
    Measurement("overload", "Late packets that are not the host's", overload.estimated_seconds, overload.run),
    Measurement("witnesses", "The cost of the host's witnesses", witnesses.estimated_seconds, witnesses.run),
    Measurement("stalls", "Stopped media process", stalls.estimated_seconds, stalls.run),
    Measurement("restart", "Killed media process", restart.estimated_seconds, restart.run),
    Measurement("start", "Start of a relay", start.estimated_seconds, start.run),
    Measurement("hostile", "Strangers and fuzz", hostile.estimated_seconds, hostile.run),
    Measurement("extension", "The header extension", extension.estimated_seconds, extension.run),
)

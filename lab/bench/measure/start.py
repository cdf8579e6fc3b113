"""The start of a relay, in the form that images have, which takes over the calls of a former one."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab.bench.load.load import Load
from lab.bench.load.load_generator import load_generator
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from lab.bench.subjects.own import OwnRelay, own_echo, own_relay
from rtppool_core.units import NS_PER_SECOND

CALLS = 20
# Within it every call flows again, on a busy machine as well.
BETWEEN_SECONDS = 6.0
SECONDS_AROUND = 14.0


@dataclass(frozen=True, slots=True)
class Start:
    """The times of the former relay's SIGTERM and of the next one's start (wall clock, ns)."""

    stopped_ns: int
    started_ns: int


def estimated_seconds(session: Session) -> float:
    """Return the duration of all starts under one load."""
    return (session.rounds + 1) * BETWEEN_SECONDS + SECONDS_AROUND


async def run(session: Session) -> Result:
    """Run one load with a hand-over in each round. The first hand-over is the warm-up."""
    settings = {"ON_STOP": "handover", **session.library}
    load_seconds = (session.rounds + 1) * BETWEEN_SECONDS
    async with (
        own_echo(session.folder),
        load_generator(session.programs.load, session.folder, CALLS, load_seconds) as generator,
        own_relay(generator.ports, session.folder, settings) as relay,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        starts = []
        for number in range(session.rounds + 1):
            session.say(f"start {number} of {session.rounds}")
            starts.append(await _replace(relay))
            await asyncio.sleep(BETWEEN_SECONDS)
        await generator.until_sent()
        load = await generator.result()
    measured = starts[1:]
    first, every = zip(*(_flow_again_ns(load, start) for start in measured), strict=True)
    title = f"Start of a relay with {CALLS} calls of a former one"
    return Result(
        [
            Figure(
                f"{title}: until a packet is forwarded",
                _seconds([start.started_ns for start in measured], first),
                "s",
                0.6,
            ),
            Figure(
                f"{title}: until packets of every call are",
                _seconds([start.started_ns for start in measured], every),
                "s",
            ),
            Figure(
                f"{title}: from the former one's SIGTERM on",
                _seconds([start.stopped_ns for start in measured], every),
                "s",
            ),
        ],
        {"calls": CALLS},
    )


async def _replace(relay: OwnRelay) -> Start:
    stopped_ns = time.time_ns()
    relay.process.signal(signal.SIGTERM)
    await relay.process.wait()
    started_ns = time.time_ns()
    relay.process.restart()
    return Start(stopped_ns, started_ns)


def _flow_again_ns(load: Load, start: Start) -> tuple[int, int]:
    """Return when the first call and when the last call had a packet back after the start."""
    after = np.where(load.returned_ns > start.started_ns, load.returned_ns, np.iinfo(np.int64).max).min(axis=1)
    return int(after.min()), int(after.max())


def _seconds(since_ns: Sequence[int], at_ns: Sequence[int]) -> list[float]:
    return [(at - since) / NS_PER_SECOND for since, at in zip(since_ns, at_ns, strict=True)]

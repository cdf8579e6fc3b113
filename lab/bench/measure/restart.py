"""A kill of the media process under load: the time until every call's packets flow again, on the same ports."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.base.proc import cpu_ns
from lab.bench.load.load import Load
from lab.bench.load.load_generator import load_generator
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from lab.bench.subjects.own import OwnRelay, own_echo, own_relay

CALLS = 100
BETWEEN_SECONDS = 6.0  # the pause before a restart grows when a process dies soon after its start
BUSY_SECONDS = 0.3
SECONDS_AROUND = 12.0
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill: the times of the signal and of the process's end (wall clock, ns), and the calls' ports afterwards."""

    sent_ns: int
    gone_ns: int
    ports: list[int]


def estimated_seconds(session: Session) -> float:
    """Return the duration of all kills under one load."""
    return (session.rounds + 1) * BETWEEN_SECONDS + SECONDS_AROUND


async def run(session: Session) -> Result:
    """Run one load with a kill in each round."""
    async with (
        own_echo(session.folder),
        load_generator(
            session.programs.load, session.folder, CALLS, (session.rounds + 1) * BETWEEN_SECONDS
        ) as generator,
        own_relay(generator.ports, session.folder) as relay,
    ):
        before = await _ports(relay)
        await generator.connect(relay.peers)
        await generator.until_warm()
        kills = []
        for number in range(session.rounds):
            await asyncio.sleep(BETWEEN_SECONDS / 2)
            session.say(f"kill {number + 1} of {session.rounds}")
            kills.append(await _kill(relay))
            await asyncio.sleep(BETWEEN_SECONDS / 2)
        await generator.until_sent()
        load = await generator.result()
        restarts = (await relay.get("/status"))["media"]["restarts"]
    moved = [len(set(before) ^ set(kill.ports)) for kill in kills]
    title = f"SIGKILL of the media process, {CALLS} calls"
    return Result(
        [
            Figure(
                f"{title}: until packets of every call flow again",
                [_outage_ms(load, kill) for kill in kills],
                "ms",
                200,
                "worst",
            ),
            Figure(f"{title}: ports that changed", moved, "ports", 0, "worst", breaks=True),
            Figure(f"{title}: lost for each kill", [load.lost / len(kills)], "packets"),
        ],
        {"restarts": restarts},
    )


async def _kill(relay: OwnRelay) -> Kill:
    pid = await _busiest(relay.media_pids())
    sent_ns = time.time_ns()
    os.kill(pid, signal.SIGKILL)
    while _is_running(pid):
        await asyncio.sleep(0)
    gone_ns = time.time_ns()
    await asyncio.sleep(1)
    return Kill(sent_ns, gone_ns, await _ports(relay))


async def _busiest(pids: list[int]) -> int:
    """Return the forwarding process; another may be an idle spare."""
    before = {pid: cpu_ns([pid]) for pid in pids}
    await asyncio.sleep(BUSY_SECONDS)
    return max(pids, key=lambda pid: cpu_ns([pid]) - before[pid])


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


async def _ports(relay: OwnRelay) -> list[int]:
    return sorted(record["port"] for record in (await relay.get("/calls"))["live"])


def _outage_ms(load: Load, kill: Kill) -> float:
    """Return the outage of the slowest call, including up to 20 ms until its next packet is due."""
    after = np.where(load.returned_ns > kill.gone_ns, load.returned_ns, np.iinfo(np.int64).max).min(axis=1)
    return float((after.max() - kill.sent_ns) / NS_PER_MS)

"""A media process stopped for 10 to 100 ms at a time: the errors of kernel stamps and of user-space stamps.

The reference is the generator's time of sending. `a` is the kernel's stamp of the arrival. `x` is the process's own
clock after reading the packet: the arrival time of a relay without kernel stamps.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from dataclasses import dataclass

import numpy as np

from lab.bench.counters.relay_rows import RelayRows
from lab.bench.load.load import Load, Nanoseconds, quantile
from lab.bench.load.load_generator import SEED, load_generator
from lab.bench.load.streams import stream_of
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from lab.bench.subjects.echoes import reference_echo
from lab.bench.subjects.own import OwnRelay, own_relay

CALLS = 20
SECONDS = 10.0
MIN_SECONDS, MAX_SECONDS = 0.010, 0.100
BETWEEN_SECONDS = 0.3
SECONDS_AROUND = 6.0
NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class Errors:
    """Sorted errors of arrivals while the process was stopped, in ns."""

    kernel_ns: Nanoseconds
    user_ns: Nanoseconds


def estimated_seconds(session: Session) -> float:
    """Return the duration of all rounds, without a warm-up."""
    return session.rounds * (SECONDS + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Measure rounds with different random stops."""
    rounds = []
    for number in range(session.rounds):
        session.say(f"round {number + 1} of {session.rounds}")
        rounds.append(await _round(session, random.Random(SEED + number)))
    figures = [
        Figure(
            "media process stopped for 10-100 ms: mean arrival error, kernel ÷ user-space stamps",
            [float(each.kernel_ns.mean() / each.user_ns.mean()) for each in rounds],
            target=1 / 20,
        )
    ]
    for name, errors in (
        ("kernel", [each.kernel_ns for each in rounds]),
        ("user-space", [each.user_ns for each in rounds]),
    ):
        figures.extend(
            Figure(
                f"arrival error while stopped, {name} stamps: p{mille // 10}",
                [quantile(each, mille) / NS_PER_US for each in errors],
                "µs",
            )
            for mille in (500, 990)
        )
    return Result(figures, {"packets": [int(each.kernel_ns.size) for each in rounds]})


async def _round(session: Session, chance: random.Random) -> Errors:
    async with (
        reference_echo(session.programs),
        load_generator(session.programs.load, session.folder, CALLS, SECONDS, 0.1) as generator,
        own_relay(generator.ports, session.folder) as relay,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        stopping = asyncio.create_task(_stop_repeatedly(relay, chance))
        await generator.until_sent()
        stopping.cancel()
        stops = await stopping
        load = await generator.result()
        rows = RelayRows(relay.control_pid)
        return _errors(load, rows, stops)


async def _stop_repeatedly(relay: OwnRelay, chance: random.Random) -> list[tuple[int, int]]:
    """Stop the processes again and again until cancelled; return the intervals (wall clock, ns)."""
    stops = []
    pids = relay.media_pids()
    try:
        while True:
            await asyncio.sleep(BETWEEN_SECONDS)
            began_ns = time.time_ns()
            _signal_all(pids, signal.SIGSTOP)
            try:
                await asyncio.sleep(chance.uniform(MIN_SECONDS, MAX_SECONDS))
            finally:
                stops.append((began_ns, time.time_ns()))
                _signal_all(pids, signal.SIGCONT)
    except asyncio.CancelledError:
        return stops


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def _errors(load: Load, rows: RelayRows, stops: list[tuple[int, int]]) -> Errors:
    kernel, user = [], []
    for call in range(CALLS):
        stream = stream_of(SEED, call)
        own = rows.of_stream(stream.ssrc)
        number = (own["index"].astype(np.int64) - stream.sequence) & 0xFFFF
        sent_ns = load.sent_ns[call][number]
        stopped = np.zeros(number.size, np.bool_)
        for began_ns, ended_ns in stops:
            stopped |= (sent_ns >= began_ns) & (sent_ns < ended_ns)
        kernel.append(np.abs(own["a"] - sent_ns)[stopped])
        user.append(np.abs(own["x"] - sent_ns)[stopped])
    return Errors(np.sort(np.concatenate(kernel)), np.sort(np.concatenate(user)))

"""One run with known stalls: our relay and one in C under load, in a quiet stretch and in a disturbed one."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lab.base.machine_load import CpuTimes, cpu_times, stolen_percent
from lab.bench.causes.cpu_group import CpuGroup, Throttling, cpu_group
from lab.bench.causes.disturber import Disturber, StallLog, disturber, joined
from lab.bench.causes.intervals import union
from lab.bench.causes.plan import SHORT_LENGTHS, USUAL_LENGTHS, Means, Stall, random_stalls, regular_stalls
from lab.bench.causes.shown import Shown, read_shown
from lab.bench.causes.timelines import Records, read_records, timelines
from lab.bench.causes.truth import THRESHOLD_NS, Cause, Timelines, Truth, true_causes, usual_of
from lab.bench.load.load import Load
from lab.bench.load.load_generator import LoadGenerator, load_generator
from lab.bench.places import ECHO_PORT, FIRST_BESIDE_LOAD_PORT, FIRST_BESIDE_RELAY_PORT
from lab.bench.programs.reference_process import ReferenceProcess, running
from lab.bench.session import Session
from lab.bench.subjects.own import OwnRelay, own_relay
from lab.bench.subjects.relays import reference_relay
from rtppool_core.process.scheduling import ask_for_short_slices
from rtppool_core.units import NS_PER_SECOND

CALLS, CALLS_BESIDE = 20, 10
CONSTANT_EVERY_MS, CONSTANT_STALL_MS = 10.0, 2.0
REAL_TIME_PRIORITY = 1
# Between the stretches the relay's figures of the quiet one settle, and after the load those of the disturbed one.
SETTLES_SECONDS = 6.0
SECONDS_AROUND = 20.0
# Idle threads on two processors use up the quota in a third of a period, and the group waits for its rest. The calls
# alone use up less than half of it.
QUOTA_US, PERIOD_US = 100_000, 150_000
BURN_NS = 300_000_000
# The first period of a new quota is short of time.
QUOTA_SETTLES_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Hold:
    """How long the echo holds a packet, and a share of them longer."""

    usual_us: int
    slow_ppm: int
    slow_us: int


AT_ONCE = Hold(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The processes that are stopped, and how the host is stalled.

    `fair`: no process has real-time priority. `constant`: the host is stalled for 2 ms in each 10. `short`: its stalls
    are little longer than the time after which a packet is late. `slow_send_us` is CPU time that each send of the relay
    takes in addition. The echo holds packets for `hold`. `apart`: the media process has a processor to itself, and the
    programs around it share the others.
    """

    name: str
    fair: bool = False
    stopped: tuple[Cause, ...] = ()
    host: Means | None = None
    constant: bool = False
    short: bool = False
    calls: int = CALLS
    slow_send_us: int = 0
    hold: Hold = AT_ONCE
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a run: its true and its shown causes, and what the machine did meanwhile."""

    truth: Truth
    shown: Shown
    packets: int
    late_beside: int
    packets_beside: int
    steal_per_cent: float
    throttling: Throttling | None


@dataclass(frozen=True, slots=True)
class Observation:
    """Both stretches, with the log of all stalls. `planned` are the stalls of the host."""

    quiet: Stretch
    disturbed: Stretch
    log: StallLog
    planned: tuple[Stall, ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """The counters at one moment of a run."""

    shown: Shown
    cpu_times: CpuTimes
    throttling: Throttling | None


@dataclass(slots=True)
class _Actors:
    """The running processes of a run."""

    relay: OwnRelay
    generator: LoadGenerator
    beside: LoadGenerator
    beside_peers: range
    reflector: ReferenceProcess
    burner: Disturber | None
    disturber: Disturber
    group: CpuGroup | None

    def pids(self, cause: Cause) -> list[int]:
        """Return the processes whose stop makes packets late by this cause."""
        return {
            Cause.SOURCE: [self.generator.pid],
            Cause.RELAY: self.relay.media_pids(),
            Cause.ECHO: [self.reflector.pid],
        }[cause]

    async def read(self) -> _Reading:
        """Read all counters."""
        metrics = await self.relay.metrics()
        throttling = self.group.throttling() if self.group else None
        return _Reading(read_shown(metrics), cpu_times(), throttling)


async def observe(session: Session, scenario: Scenario, seed: int) -> Observation:
    """Run a scenario once."""
    records_file = session.folder / "reflector.records"
    seconds = session.stretch_seconds
    load_seconds = 2 * seconds + SETTLES_SECONDS
    async with _actors(session, scenario, load_seconds, seed, records_file) as actors:
        if actors.group:
            actors.group.limit(QUOTA_US, PERIOD_US)
            await asyncio.sleep(QUOTA_SETTLES_SECONDS)
        stops, host = _plan(scenario, actors, random.Random(seed), seconds)
        await actors.beside.connect(actors.beside_peers)
        readings = [await actors.read()]
        began_ns = await actors.generator.connect(actors.relay.peers)
        ends_at = time.monotonic() + load_seconds
        await actors.disturber.start(stops if actors.burner else [*stops, *host])
        if actors.burner:
            await actors.burner.start(host)
        await asyncio.sleep(seconds + SETTLES_SECONDS / 2)
        readings.append(await actors.read())
        running_now = [each for each in (actors.disturber, actors.burner) if each]
        logs = [await each.finish(load_seconds + SECONDS_AROUND) for each in running_now]
        for each in (actors.generator, actors.beside):
            await each.until_warm()
            await each.until_sent()
        await asyncio.sleep(max(0.0, ends_at - time.monotonic()) + SETTLES_SECONDS)
        readings.append(await actors.read())
        load, beside = await actors.generator.result(), await actors.beside.result()
        actors.reflector.close_input()
        await actors.reflector.json()
    records = read_records(records_file)
    middle_ns = began_ns + round((seconds + SETTLES_SECONDS / 2) * NS_PER_SECOND)
    return _observation(joined(logs), host, (load, beside), records, seed, middle_ns, readings)


def _plan(
    scenario: Scenario, actors: _Actors, chance: random.Random, seconds: float
) -> tuple[list[Stall], tuple[Stall, ...]]:
    """Return the stops and the stalls of the host, all in the second stretch."""
    first = seconds + SETTLES_SECONDS
    stops = [
        Stall(each.means, each.begin_ns, each.length_ns, tuple(actors.pids(chance.choice(scenario.stopped))))
        for each in (random_stalls(Means.STOP, chance, first, seconds) if scenario.stopped else [])
    ]
    host = _host_stalls(scenario, chance, first, seconds)
    if scenario.host is Means.BURN:
        host = [Stall(Means.BURN, each.begin_ns, BURN_NS) for each in host]
    return stops, tuple(host)


def _host_stalls(scenario: Scenario, chance: random.Random, first: float, seconds: float) -> list[Stall]:
    if scenario.host is None:
        return []
    if scenario.constant:
        return regular_stalls(scenario.host, CONSTANT_EVERY_MS, CONSTANT_STALL_MS, first, seconds)
    lengths = SHORT_LENGTHS if scenario.short else USUAL_LENGTHS
    return random_stalls(scenario.host, chance, first, seconds, lengths=lengths)


def _observation(
    log: StallLog,
    host: tuple[Stall, ...],
    loads: tuple[Load, Load],
    records: Records,
    seed: int,
    middle_ns: int,
    readings: list[_Reading],
) -> Observation:
    ours, beside = timelines(loads[0], records, seed), timelines(loads[1], records, seed + 1)
    whole = (0, middle_ns, np.iinfo(np.int64).max)
    usual = usual_of(ours.within(*whole[:2]))
    stopped = log.stopped(np.unique(log.records["target"]).tolist())
    disturbed = union([stopped, log.any_processor()])
    stretches = []
    for number in range(2):
        bounds = whole[number], whole[number + 1]
        before, after = readings[number], readings[number + 1]
        mine, other = ours.within(*bounds), beside.within(*bounds)
        throttling = None
        if after.throttling and before.throttling:
            throttling = after.throttling.since(before.throttling)
        stretches.append(
            Stretch(
                truth=true_causes(mine, usual, log.host(), disturbed),
                shown=after.shown.since(before.shown),
                packets=mine.due.size,
                late_beside=_late(other),
                packets_beside=other.due.size,
                steal_per_cent=stolen_percent(before.cpu_times, after.cpu_times),
                throttling=throttling,
            )
        )
    return Observation(stretches[0], stretches[1], log, host)


def _late(packets: Timelines) -> int:
    return int(np.count_nonzero(packets.returned - packets.due > THRESHOLD_NS))


@asynccontextmanager
async def _actors(
    session: Session, scenario: Scenario, seconds: float, seed: int, records: Path
) -> AsyncIterator[_Actors]:
    """Run all processes of a scenario, with a quota in one group, apart from those that stop others."""
    programs, folder = session.programs, session.folder
    settings = {"MEDIA_SCHEDULING": "fair"} if scenario.fair else {}
    if scenario.slow_send_us:
        settings |= {"LD_PRELOAD": str(programs.slow_send), "SLOW_SEND_US": str(scenario.slow_send_us)}
    hold = scenario.hold
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        group = stack.enter_context(cpu_group()) if scenario.host is Means.BURN else None
        burner = None
        if scenario.fair:
            ask_for_short_slices()  # as our relay does; the processes in C inherit them
        with group.entered() if group else nullcontext():
            reflector = await enter(
                running(programs.reflector, ECHO_PORT, seed, records, hold.usual_us, hold.slow_ppm, hold.slow_us)
            )
            await reflector.expect("ready")
            generator = await enter(load_generator(programs.load, folder, scenario.calls, seconds, 0.0, seed))
            beside = await enter(
                load_generator(programs.load, folder, CALLS_BESIDE, seconds, 0.0, seed + 1, FIRST_BESIDE_LOAD_PORT)
            )
            peers = range(FIRST_BESIDE_RELAY_PORT, FIRST_BESIDE_RELAY_PORT + CALLS_BESIDE)
            c_relay = await enter(reference_relay(programs.relay, peers, beside.ports))
            relay = await enter(own_relay(generator.ports, folder, settings))
            if group:
                burner = await enter(disturber(programs.disturb, folder / "burn.records"))
        outside = await enter(disturber(programs.disturb, folder / "stalls.records"))
        around = (reflector.pid, generator.pid, beside.pid, c_relay.pid)
        if not scenario.fair:
            for pid in around:
                os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
        if scenario.apart:
            _set_apart(relay.media_pids(), around)
        yield _Actors(relay, generator, beside, peers, reflector, burner, outside, group)


def _set_apart(media: Sequence[int], around: Sequence[int]) -> None:
    """Give the last processor to the media processes, and all others to the programs around the relay."""
    *others, last = sorted(os.sched_getaffinity(0))
    for pid in media:
        os.sched_setaffinity(pid, {last})
    for pid in around:
        os.sched_setaffinity(pid, others)

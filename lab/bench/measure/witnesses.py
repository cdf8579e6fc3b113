"""The cost of the witnesses of host time: alternating pairs of runs at 100 calls, with the witnesses on and off.

After each `PAIRS_A_LOOP` pairs, a run has a C program in the heartbeat's place that only sleeps and wakes.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass

from lab.base.machine_load import cpu_times, stolen_percent
from lab.base.proc import cpu_ns
from lab.bench.load.load import quantile
from lab.bench.load.load_generator import load_generator
from lab.bench.load.traffic import PACKETS_PER_TRIP
from lab.bench.programs.reference_process import running
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.results.median_interval import median_interval
from lab.bench.session import Session
from lab.bench.subjects.echoes import reference_echo
from lab.bench.subjects.own import own_relay
from rtppool_core.host.heartbeat import watched_processors
from rtppool_core.units import NS_PER_SECOND, NS_PER_US
from rtppool_relay.packets.beat_process import PERIOD_NS

CALLS = 100
SECONDS_AROUND = 9.0
MAX_BEAT_PER_CENT = 1.2  # of a processor, for each watched processor
MAX_ALL_PER_CENT = 3.0
MAX_CPU_RATIO = 1.01
MAX_P99_RATIO = 1.05
REAL_TIME_PRIORITY = 1
PAIRS_A_LOOP = 5
LOOP = "C loop"


@dataclass(frozen=True, slots=True)
class Cost:
    """A run: its p99 from the time a packet was due, the media process's CPU time, and the shares of the others."""

    p99_us: float
    media_us_per_packet: float
    control_per_cent: float
    beats_per_cent: float
    steal_per_cent: float
    lost: int


def estimated_seconds(session: Session) -> float:
    """Return the duration of all runs."""
    return (2 * session.pairs + -(-session.pairs // PAIRS_A_LOOP)) * (session.pair_seconds + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Run the pairs; every other one begins with the witnesses off."""
    found: dict[str, list[Cost]] = {"on": [], "off": [], LOOP: []}
    for number in range(session.pairs):
        pair = ("on", "off") if number % 2 == 0 else ("off", "on")
        for setting in (*pair, LOOP) if number % PAIRS_A_LOOP == 0 else pair:
            cost = await _run(session, setting)
            found[setting].append(cost)
            session.say(
                f"pair {number + 1} of {session.pairs}, {setting}: p99 {cost.p99_us:.0f} µs, media process "
                f"{cost.media_us_per_packet:.2f} µs a packet, control {cost.control_per_cent:.2f} %, "
                f"heartbeat {cost.beats_per_cent:.2f} %, steal {cost.steal_per_cent:.2f} %"
            )
    return Result(figures_of(found["on"], found["off"], found[LOOP], len(watched_processors())), _raw(found))


def figures_of(on: list[Cost], off: list[Cost], loops: list[Cost], watched: int) -> list[Figure]:
    """Return the costs, and the ratios pair by pair."""
    p99 = ratios([each.p99_us for each in on], [each.p99_us for each in off])
    interval = median_interval(p99)
    upper = [interval[1]] if interval else []
    note = f"from {interval[0]:.3f}" if interval else "too few pairs"
    media = ratios([each.media_us_per_packet for each in on], [each.media_us_per_packet for each in off])
    beats = [each.beats_per_cent for each in on]
    readings = [a.control_per_cent - b.control_per_cent for a, b in zip(on, off, strict=True)]
    whole = [beat + reading for beat, reading in zip(beats, readings, strict=True)]
    title = f"witnesses at {CALLS} calls"
    return [
        Figure(f"{title}: heartbeat, % of a processor", [each / watched for each in beats], target=MAX_BEAT_PER_CENT),
        Figure(
            f"{title}: a C loop of the same period, % of a processor", [each.beats_per_cent / watched for each in loops]
        ),
        Figure(f"{title}: in all, % of a processor", whole, target=MAX_ALL_PER_CENT),
        Figure(f"{title}: CPU per packet of the media process, on ÷ off", media, target=MAX_CPU_RATIO),
        Figure(f"{title}: p99, on ÷ off", p99),
        Figure(f"{title}: p99, on ÷ off, upper end of the median's 95 % interval", upper, "", MAX_P99_RATIO, note=note),
        *(
            Figure(f"{title}: p99, {setting}, µs", [each.p99_us for each in costs])
            for setting, costs in (("on", on), ("off", off))
        ),
        Figure(f"{title}: steal, %", [each.steal_per_cent for each in [*on, *off]]),
        Figure(f"{title}: lost", [each.lost for each in [*on, *off]], "packets"),
    ]


async def _run(session: Session, setting: str) -> Cost:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        echo = await enter(reference_echo(session.programs))
        generator = await enter(load_generator(session.programs.load, session.folder, CALLS, session.pair_seconds))
        witnesses = "on" if setting == "on" else "off"
        relay = await enter(own_relay(generator.ports, session.folder, {"HOST_WITNESSES": witnesses}))
        loops = [
            await enter(running(session.programs.beat, processor, PERIOD_NS // NS_PER_US))
            for processor in (watched_processors() if setting == LOOP else ())
        ]
        for loop in loops:
            await loop.expect("ready")
        # As the media process: the ordinary load of the machine is no part of this comparison.
        for pid in (*echo(), generator.pid):
            os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
        await generator.connect(relay.peers)
        await generator.until_warm()
        groups = {**relay.processes(), "beats": [*relay.heartbeat_pids(), *(loop.pid for loop in loops)]}
        before, machine_before = {role: cpu_ns(pids) for role, pids in groups.items()}, cpu_times()
        await generator.until_sent()
        busy_ns = {role: cpu_ns(pids) - before[role] for role, pids in groups.items()}
        stolen = stolen_percent(machine_before, cpu_times())
        load = await generator.result()
    per_cent = 100 / (session.pair_seconds * NS_PER_SECOND)
    return Cost(
        p99_us=quantile(load.round_trips_ns(from_schedule=True), 990) / NS_PER_US,
        media_us_per_packet=busy_ns["media"] / NS_PER_US / max(1, load.returned * PACKETS_PER_TRIP),
        control_per_cent=busy_ns["control"] * per_cent,
        beats_per_cent=busy_ns["beats"] * per_cent,
        steal_per_cent=stolen,
        lost=load.lost,
    )


def _raw(found: dict[str, list[Cost]]) -> dict[str, list[dict[str, float]]]:
    return {
        setting: [
            {
                "p99Microseconds": each.p99_us,
                "mediaMicrosecondsPerPacket": each.media_us_per_packet,
                "controlPerCent": each.control_per_cent,
                "beatsPerCent": each.beats_per_cent,
                "stealPerCent": each.steal_per_cent,
                "lost": each.lost,
            }
            for each in costs
        ]
        for setting, costs in found.items()
    }

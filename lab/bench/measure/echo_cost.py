"""CPU time per echoed packet with all filters on, against the minimum in C: saturated, and at the rate of 100 calls.

Both have the same scheduling. The one in C runs once more with the kernel's slices.
"""

from __future__ import annotations

from lab.base.proc import cpu_ns
from lab.bench.load.load_generator import WARM_UP_SECONDS, load_generator
from lab.bench.measure.interleaved import interleaved
from lab.bench.places import ECHO_PORT, FIRST_LOAD_PORT
from lab.bench.programs.reference_process import running
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.session import Session
from lab.bench.subjects.echoes import OURS, C, StartEcho, echoes

CALLS = 100
SOURCES, IN_FLIGHT = 16, 64
SECONDS_AROUND = 4.0
NS_PER_US = 1000


def estimated_seconds(session: Session) -> float:
    """Return the duration of all rounds in both modes."""
    candidates = len(echoes(session.programs, session.folder))
    return (session.rounds + 1) * 2 * candidates * (session.seconds + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Measure interleaved rounds of both echoes."""
    starts = echoes(session.programs, session.folder)
    saturated = await interleaved(session, list(starts), lambda name: _saturated(session, starts[name]))
    paced = await interleaved(session, list(starts), lambda name: _paced(session, starts[name]))
    rates = {name: [rate for _, rate in rounds] for name, rounds in saturated.items()}
    full = {name: [cost for cost, _ in rounds] for name, rounds in saturated.items()}
    figures = [
        Figure("echo, saturated: CPU per packet ÷ C recvfrom/sendto", ratios(full[OURS], full[C]), target=1.05),
        Figure(
            f"echo at {CALLS} calls: CPU per packet ÷ C recvfrom/sendto", ratios(paced[OURS], paced[C]), target=1.25
        ),
        *(Figure(f"echo, saturated: {name}", full[name], "µs") for name in starts),
        *(Figure(f"echo, saturated: packets a second, {name}", rates[name], "1/s") for name in starts),
        *(Figure(f"echo at {CALLS} calls: {name}", paced[name], "µs") for name in starts),
    ]
    return Result(figures)


async def _saturated(session: Session, start: StartEcho) -> tuple[float, float]:
    """Return the CPU time per packet in µs, and the packets a second."""
    arguments = (ECHO_PORT, SOURCES, IN_FLIGHT, FIRST_LOAD_PORT, session.seconds, WARM_UP_SECONDS)
    async with start() as pids, running(session.programs.saturate, *arguments) as load:
        await load.expect("measuring")
        before = cpu_ns(pids())
        await load.expect("measured", session.seconds + 10)
        spent = cpu_ns(pids()) - before
        answers = (await load.json())["answers"]
    return spent / NS_PER_US / max(1, answers), answers / session.seconds


async def _paced(session: Session, start: StartEcho) -> float:
    """Return the CPU time per packet in µs."""
    async with start() as pids, load_generator(session.programs.load, session.folder, CALLS, session.seconds) as load:
        await load.connect([ECHO_PORT] * CALLS)
        await load.until_warm()
        before = cpu_ns(pids())
        await load.until_sent()
        spent = cpu_ns(pids()) - before
        returned = (await load.result()).returned
    return spent / NS_PER_US / max(1, returned)

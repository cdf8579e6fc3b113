"""An operator without free descriptors, and beside idle connections: HTTP answers, and edits converge afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from lab.base.descriptors import descriptors_exhausted
from lab.base.idle_connections import ask, idle_connections
from lab.base.proc import resident_bytes
from lab.base.report import Figure
from lab.faults.operator.api.resources import NAMESPACE, pool, pool_path, pools_of
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import Rig

RELAYS = 3
START_SECONDS, CONVERGE_SECONDS = 30.0, 20.0
WHOLE_SECONDS = 5.0
EXHAUSTED_SECONDS = 8.0
CONNECTIONS, PROBES = 10_000, 100
MAX_GROWTH_BYTES = 64 << 20
MAX_LINES = 10
PATHS = ("/health", "/ready")
DEFAULT = pool_path(NAMESPACE, "default")


async def exhaustion(rig: Rig, operator: OperatorProcess, say: Callable[[str], None]) -> list[Figure]:
    """Exhaust an operator's descriptors, then hold idle connections to it, with an edit in each.

    Raises:
        NotConverged: the state before the first fault is not reached, or that after a fault is never reached.
    """
    await rig.relays.add((f"node-{number}", {}) for number in range(RELAYS))
    await rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 10_000, 10_100))
    operator.start()
    await rig.converge(START_SECONDS)
    say("no descriptor is free")
    figures = await _under(rig, operator, "no free descriptor", _without_descriptors(operator), 11_000)
    say(f"{CONNECTIONS} idle connections")
    idle = idle_connections(operator.http_port, CONNECTIONS)
    return [*figures, *await _under(rig, operator, f"{CONNECTIONS} idle connections", idle, 12_000)]


@asynccontextmanager
async def _without_descriptors(operator: OperatorProcess) -> AsyncIterator[None]:
    with descriptors_exhausted([operator.process.pid]):
        yield
        await asyncio.sleep(EXHAUSTED_SECONDS)


async def _under(
    rig: Rig, operator: OperatorProcess, name: str, pressure: AbstractAsyncContextManager[object], first_port: int
) -> list[Figure]:
    pid, offset = operator.process.pid, operator.log.stat().st_size
    memory, began = resident_bytes(pid), time.monotonic()
    async with pressure:
        await rig.api.patch(DEFAULT, {"spec": {"portRange": {"start": first_port, "end": first_port + 50}}})
        answers = await ask(operator.http_port, PATHS, PROBES // len(PATHS))
        grown = resident_bytes(pid) - memory
    minutes = (time.monotonic() - began) / 60
    whole = await rig.converge(CONVERGE_SECONDS)
    lines = operator.log.read_bytes()[offset:].count(b"\n")
    bound = MAX_LINES * (1 + minutes)
    return [
        Figure(f"{name}: HTTP within 1 s", str(answers), "all", answers.answered == answers.sent),
        Figure(
            f"{name}: an edit converges afterwards", f"{whole:.1f} s", f"{WHOLE_SECONDS:.0f} s", whole <= WHOLE_SECONDS
        ),
        Figure(
            f"{name}: the process lives on", str(operator.runs), "True", operator.runs and operator.process.pid == pid
        ),
        Figure(f"{name}: log lines", str(lines), f"< {bound:.0f}", lines < bound),
        Figure(
            f"{name}: memory more", f"{grown >> 20} MiB", f"<= {MAX_GROWTH_BYTES >> 20} MiB", grown <= MAX_GROWTH_BYTES
        ),
    ]

"""An idle pool: status writes while only the probe's figures change, then the report of a lost echo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from lab.base.audit_log import answered, writes
from lab.base.proc import cpu_seconds
from lab.base.report import Figure
from lab.faults.operator.api.resources import NAMESPACE, pool, pool_path, pools_of
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import Rig
from lab.faults.operator.runs.scale import STATUS_RESOURCE

RELAYS = 3
START_SECONDS, SETTLE_SECONDS = 30.0, 20.0
RENDER_SECONDS = 1.0
REQUESTS_A_MINUTE = 2.0
SAY_EVERY_SECONDS = 60.0
MAX_REPORT_SECONDS, REPORT_BOUND_SECONDS = 30.0, 5.0
DEFAULT = pool_path(NAMESPACE, "default")


async def idle(rig: Rig, operator: OperatorProcess, minutes: float, say: Callable[[str], None]) -> list[Figure]:
    """Measure on an empty rig with an operator that does not run.

    Raises:
        NotConverged: a state is not reached in time.
    """
    await rig.relays.add((f"node-{number}", {}) for number in range(RELAYS))
    await rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 10_000, 10_100))
    operator.start()
    await rig.converge(START_SECONDS)
    noise = asyncio.create_task(_noise(rig))
    try:
        await asyncio.sleep(SETTLE_SECONDS)
        since, used = time.time(), cpu_seconds(operator.process.pid)
        await _wait(minutes * 60, say)
        written = writes(_log(rig), STATUS_RESOURCE, since)
        asked = answered(_log(rig), since, "leases") / minutes
        share = (cpu_seconds(operator.process.pid) - used) / (minutes * 60)
        seconds = await _echo_gone(rig)
    finally:
        noise.cancel()
        await asyncio.gather(noise, return_exceptions=True)
    return [
        Figure(f"status writes in {minutes:g} idle minutes with the probe on", str(len(written)), "0", not written),
        Figure(
            "requests to the API server a minute, without those of the lease",
            f"{asked:.2f}",
            f"{REQUESTS_A_MINUTE:g}",
            asked <= REQUESTS_A_MINUTE,
        ),
        Figure("operator's share of one processor, idle", f"{share:.1%}"),
        Figure(
            "lost echo of a relay, until it is in the pool's status",
            f"{seconds:.1f} s",
            f"{REPORT_BOUND_SECONDS:.0f} s",
            seconds <= REPORT_BOUND_SECONDS,
        ),
    ]


async def _noise(rig: Rig) -> None:
    """Render new figures of the probe every second."""
    while True:
        for relay in rig.relays.by_node.values():
            rig.relays.render(relay)
        await asyncio.sleep(RENDER_SECONDS)


async def _wait(seconds: float, say: Callable[[str], None]) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        say(f"idle for {left / 60:.0f} min more")
        await asyncio.sleep(min(SAY_EVERY_SECONDS, left))


async def _echo_gone(rig: Rig) -> float:
    relay = rig.relays.by_node["node-1"]
    relay.echo_reachable = False
    rig.relays.render(relay)

    async def is_reported() -> bool:
        status = (await rig.api.get(DEFAULT))["status"]
        found = {each["type"]: each["status"] for each in status["conditions"]}
        return (found["EchoReachable"], found["Ready"]) == ("False", "False")

    return await rig.until("the status reports the lost echo", MAX_REPORT_SECONDS, is_reported)


def _log(rig: Rig) -> list[str]:
    return rig.server.audit_log.read_text().splitlines()

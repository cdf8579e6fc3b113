"""Port leases under kill -9 as a row of `make chaos`."""

from __future__ import annotations

import asyncio

from lab.base.report import Figure
from lab.faults.calls.ports.ports import PORTS, run
from lab.faults.calls.rows.rows import Row, RowResult, Stage

OPERATIONS = 100_000


async def _leases(stage: Stage, result: RowResult) -> None:
    found = await asyncio.to_thread(run, OPERATIONS)
    stage.say(f"{found.operations} operations, {found.kills} processes killed, in {found.seconds:.0f} s")
    result.figures += [
        Figure("leases and releases", str(found.operations), f"≥ {OPERATIONS}", found.operations >= OPERATIONS),
        Figure("ports leased while another had them", str(found.double), "0", found.double == 0),
        Figure("ports lost", str(found.leaked), "0", found.leaked == 0),
        Figure(
            f"starts without exactly {PORTS} ports less the strangers'",
            f"{found.wrong_capacity} of {found.kills}",
            "0",
            found.wrong_capacity == 0,
        ),
    ]
    result.findings += found.findings


LEASES = Row("ports", "leases and releases with kill -9 between, strangers on up to 12 ports", 200, _leases)

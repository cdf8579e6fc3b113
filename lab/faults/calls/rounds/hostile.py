"""A hostile Asterisk: its answers and events are bent under calls, and other callers are still served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.base.proc import resident_bytes
from lab.base.waiting import wait_for_listener
from lab.faults.calls.places import RELAY_HTTP_PORT, TRIAL_RTP_PORT
from lab.faults.calls.rig.bending_proxy import BendingProxy
from lab.faults.calls.rig.callers import Outcome, Plan
from lab.faults.calls.rig.rig import Rig
from lab.faults.calls.rounds.bends import CASES, Case
from lab.faults.calls.rounds.faults import BACK_SECONDS, Fault, Struck
from lab.faults.calls.rounds.pressure import relay_is_complete, stalled
from lab.faults.calls.rounds.rounds import answered

BENT_SECONDS = 8.0
CONNECTED_SECONDS = 5.0
OTHER_CALLERS, OTHER_SECONDS, OTHERS_PER_SECOND = 3, 1.0, 2
FINISH_SECONDS = 15.0
HELD_CALL_SECONDS = 22.0
MAX_GROWTH_BYTES = 128 << 20
SAMPLE_SECONDS = 0.1
EVENTS_AT_ONCE = 200


class _Peak:
    """The highest resident memory of a process that may be replaced meanwhile."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.bytes = self.base = resident_bytes(rig.relay.pid)

    async def sample(self) -> None:
        """Sample until the task is cancelled."""
        while True:
            with suppress(OSError, LabError):
                self.bytes = max(self.bytes, resident_bytes(self._rig.relay.pid))
            await asyncio.sleep(SAMPLE_SECONDS)


@contextmanager
def bent(proxy: BendingProxy, case: Case) -> Iterator[None]:
    """Bend answers for the length of the block."""
    proxy.bend = case.bend
    try:
        yield
    finally:
        proxy.bend = None


async def send_events(proxy: BendingProxy, case: Case) -> None:
    """Send the case's events, in bursts."""
    for number, event in enumerate(case.events() if case.events else ()):
        await proxy.send_event(event)
        if number % EVENTS_AT_ONCE == 0:
            await asyncio.sleep(0)


async def _strike(case: Case, rig: Rig, number: int) -> Struck:
    if rig.bending is None or rig.proxy is None:
        raise AssertionError("this fault asks for a rig with bent answers")
    findings: list[str] = []
    at, starts, peak, before = time.monotonic(), rig.relay.starts, _Peak(rig), await answered(rig)
    sampling = asyncio.create_task(peak.sample())
    try:
        with bent(rig.bending, case):
            await _reconnect(rig, case, findings)
            sending = asyncio.create_task(send_events(rig.bending, case))
            others = await _others(rig, number) if case.serves else Outcome()
            findings += await stalled(rig, before)
            await asyncio.sleep(max(0.0, at + BENT_SECONDS - time.monotonic()))
            await sending
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
    straightened = time.monotonic()
    if rig.relay.starts != starts + case.restarts:
        findings.append("the relay ended")
    if others.talked != others.placed and not case.floods:
        findings.append(f"{len(others.talked)} of {len(others.placed)} other callers were served")
    grown = peak.bytes - peak.base
    if grown > MAX_GROWTH_BYTES:
        findings.append(f"the relay grew by {grown >> 20} MiB")
    notes = (f"{len(others.talked)} of {len(others.placed)} others served", f"{grown >> 20} MiB more at most")
    return Struck(at, straightened, others=others, notes=notes, findings=tuple(findings))


async def _reconnect(rig: Rig, case: Case, findings: list[str]) -> None:
    """Lose the connection, or the relay, and wait until callers can be served again."""
    began, starts = time.monotonic(), rig.relay.starts
    if case.restarts:
        rig.relay.kill()
        await rig.relay.wait_for_restart(starts, BACK_SECONDS)
        began = await wait_for_listener(LOOPBACK, RELAY_HTTP_PORT, BACK_SECONDS)
    elif rig.proxy is not None:
        rig.proxy.reset()
        await asyncio.sleep(SAMPLE_SECONDS)
    while case.serves and not await rig.is_connected():
        if time.monotonic() - began > CONNECTED_SECONDS:
            status = await rig.relay_view.status()
            findings.append(f"not connected {CONNECTED_SECONDS:.0f} s later: {status and status['ari']}")
            return
        await asyncio.sleep(SAMPLE_SECONDS)


async def _others(rig: Rig, number: int) -> Outcome:
    plan = Plan(f"other-{number}", OTHER_CALLERS, OTHER_SECONDS, TRIAL_RTP_PORT, OTHERS_PER_SECOND)
    async with rig.callers.calling(plan) as calling:
        try:
            return await calling.finish(FINISH_SECONDS)
        except LabError:
            return await calling.stop()


HOSTILE = tuple(
    Fault(
        "hostile",
        case.title,
        partial(_strike, case),
        through_proxy=True,
        is_whole=relay_is_complete,
        call_seconds=HELD_CALL_SECONDS,
    )
    for case in CASES
)

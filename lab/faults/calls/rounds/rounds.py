"""One round: calls that talk, a fault, the recovery and the account of every call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.base.descriptors import open_descriptors
from lab.base.errors import LabError
from lab.base.machine_load import MachineLoad, cpu_times, load_since
from lab.base.proc import media_pids
from lab.base.waiting import wait_until
from lab.faults.calls.places import HELD_RTP_PORT, TRIAL_RTP_PORT
from lab.faults.calls.rig.callers import Calling, Outcome, Plan
from lab.faults.calls.rig.relay import Record, records_of, tracebacks_of, udp_ports_bound
from lab.faults.calls.rig.rig import POLL_SECONDS, Rig
from lab.faults.calls.rounds.accounts import (
    OURS,
    Evidence,
    Rest,
    dialplan_of,
    leaked,
    orphans,
    too_slow,
    unaccounted,
    uncounted,
)
from lab.faults.calls.rounds.faults import Fault, Struck

CALLS_UP_SECONDS = 20.0  # SIPp itself may need ten on a busy machine
TRIAL_SECONDS = 1.0
TRIAL_PAUSE_SECONDS = 0.1
TRIAL_PORTS = 100
RECORD_SECONDS = 1.0
MAX_RECOVERY_SECONDS = 15.0
ORPHANS_GONE_SECONDS = 2.0
SETTLED_SECONDS = 4.0
FINISH_SECONDS = 20.0
CALLS_PER_SECOND = 50.0


@dataclass(slots=True)
class RoundResult:
    """The result of a round. Times are in seconds, None if the round did not get so far.

    `load` is that of the machine from the fault to the recovery.
    """

    fault: str
    number: int
    calls: int
    recovered_after_seconds: float | None = None
    down_seconds: float | None = None
    survived: int = 0
    cut: int = 0
    trials: int = 0
    lost_packets: int = 0
    adopted: int = 0
    descriptors: int = 0
    load: MachineLoad | None = None
    orphans_deleted: int = 0
    notes: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Trials:
    """Trial calls, one after another, until one succeeds."""

    rig: Rig
    name: str
    outcome: Outcome = field(default_factory=Outcome)
    tried: int = 0

    async def place_until_one_succeeds(self) -> float:
        """Return when the first successful call was answered (monotonic seconds). Its voice must have returned."""
        while True:
            self.tried += 1
            offset = self.rig.relay.log_size()
            port = TRIAL_RTP_PORT + 2 * (self.tried % TRIAL_PORTS)
            plan = Plan(f"{self.name}-trial-{self.tried}", 1, TRIAL_SECONDS, port)
            async with self.rig.callers.calling(plan) as calling:
                began = time.monotonic()
                try:
                    outcome = await calling.finish(FINISH_SECONDS)
                except LabError:  # SIPp failed, or the call hangs: the next trial decides
                    outcome = await calling.stop()
            ended = time.monotonic()
            self.outcome = self.outcome.with_other(outcome)
            if outcome.talked and await self._voice_returned(outcome, offset):
                return max(began, ended - TRIAL_SECONDS)
            await asyncio.sleep(TRIAL_PAUSE_SECONDS)

    async def _voice_returned(self, outcome: Outcome, offset: int) -> bool:
        """Return whether the relay's record of the call has answered packets."""
        deadline = time.monotonic() + RECORD_SECONDS
        while time.monotonic() < deadline:
            for record in records_of(self.rig.relay.log_text(offset)):
                if record.sip_call_id in outcome.talked:
                    return record.answered > 0
            await asyncio.sleep(POLL_SECONDS)
        return False


async def play(rig: Rig, fault: Fault, number: int, calls: int) -> RoundResult:
    """Play one round. Each problem is a finding of its result."""
    result = RoundResult(fault.name, number, calls)
    relay_from, dialplan_from = rig.relay.log_size(), rig.dialplan_size()
    name = f"{fault.name}-{number}"
    trials = _Trials(rig, name)
    plan = Plan(f"{name}-held", calls, fault.call_seconds, HELD_RTP_PORT, CALLS_PER_SECOND)
    struck: Struck | None = None
    held = Outcome()
    async with rig.callers.calling(plan) as calling:
        try:
            await all_talk(rig, calls)
            reconnects = await _connections(rig)
            async with _recovery(rig, fault, trials, reconnects, result) as strike:
                struck = await strike(fault.strike(rig, number))
                result.notes += struck.notes
                result.findings += struck.findings
                if fault.asterisk_dies:
                    await calling.stop()
            held = await _end_of(calling, fault)
        except LabError as error:
            result.findings.append(str(error))
            held = await calling.stop()
    rest = await rest_of(rig)
    result.findings += leaked(rest, len(rig.ports))
    log = rig.relay.log_text(relay_from)
    records = records_of(log)
    hung_up = struck.hung_up if struck else frozenset()
    callers = _without_hung_up(held, hung_up).with_other(trials.outcome)
    callers = callers.with_other(struck.others) if struck else callers
    dialplan = dialplan_of(rig.dialplan_log(dialplan_from))
    result.findings += unaccounted(Evidence(callers, dialplan, _known(records, hung_up), fault.asterisk_dies))
    result.findings += [
        f"the relay's log has a traceback: {each[-400:]}" for each in tracebacks_of(log, raw=not fault.starts_fail)[:2]
    ]
    _count(result, held, hung_up, trials, records)
    result.descriptors = _descriptors(rig)
    if status := await rig.relay_view.status():
        result.findings += uncounted(status["calls"])
        result.orphans_deleted = status["calls"]["orphansDeleted"]
    await _clean(rig)
    return result


@asynccontextmanager
async def _recovery(
    rig: Rig, fault: Fault, trials: _Trials, reconnects: tuple[int, int], result: RoundResult
) -> AsyncIterator[Any]:
    """Strike within the block; after it, wait for the recovery, and check for orphans two seconds later."""
    struck: list[Struck] = []
    before_fault = cpu_times()

    async def strike(blow: Any) -> Struck:
        struck.append(await blow)
        return struck[0]

    trial = connected = None
    missing = "not connected to Asterisk"
    try:
        connected = asyncio.create_task(_connected(rig, fault, reconnects))
        yield strike
        trial = asyncio.create_task(trials.place_until_one_succeeds())
        before = await answered(rig)
        recovered_at = [struck[0].accepts_at]
        async with asyncio.timeout(MAX_RECOVERY_SECONDS):
            connected_at = await connected
            recovered_at.append(connected_at)
            missing = "not all live calls have packets again"
            recovered_at.append(await _flows(rig, before))
            missing = "no trial call succeeds"
            recovered_at.append(await trial)
            missing = f"not whole after «{fault.title}»"
            recovered_at.append(await _whole(rig, fault))
    except TimeoutError as error:
        raise LabError(f"{missing} {MAX_RECOVERY_SECONDS:.0f} s after the fault") from error
    finally:
        result.load = load_since(before_fault, cpu_times())
        for task in (trial, connected):
            if task is not None and not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    result.recovered_after_seconds = round(max(recovered_at) - struck[0].accepts_at, 2)
    result.down_seconds = round(struck[0].accepts_at - struck[0].at, 2)
    result.findings += too_slow(result.recovered_after_seconds)
    await asyncio.sleep(max(0.0, connected_at + ORPHANS_GONE_SECONDS - time.monotonic()))
    state, calls = await rig.view.state(), await rig.relay_view.calls()
    found = orphans(state.channels, state.bridges, [call["channelId"] for call in calls])
    result.findings += [f"2 s after ARI is connected: {each}" for each in found]


async def all_talk(rig: Rig, calls: int, within_seconds: float = CALLS_UP_SECONDS) -> None:
    """Wait until so many calls talk.

    Raises:
        LabError: they do not within the time.
    """

    async def talking() -> bool:
        live = await rig.relay_view.calls()
        return sum(1 for call in live if call["state"] == "talking" and call["figures"]["answered"] > 0) >= calls

    await wait_until(f"{calls} calls talk", talking, within_seconds)


async def _connections(rig: Rig) -> tuple[int, int]:
    status = await rig.relay_view.status()
    return rig.relay.starts, status["ari"]["reconnects"] if status else 0


async def _connected(rig: Rig, fault: Fault, before: tuple[int, int]) -> float:
    """Return when the relay is connected to Asterisk, after the fault's disconnection if it causes one."""
    while True:
        status = await rig.relay_view.status()
        if status is not None and status["ari"]["state"] == "Connected":
            again = (rig.relay.starts, status["ari"]["reconnects"])
            if not fault.reconnects or again[0] > before[0] or again[1] > before[1]:
                return time.monotonic()
        await asyncio.sleep(POLL_SECONDS)


async def answered(rig: Rig) -> Mapping[str, int]:
    """Return the answered packets of each live call by its caller's channel."""
    return {
        call["channelId"]: call["figures"]["answered"] for call in await rig.relay_view.calls() if "figures" in call
    }


async def _flows(rig: Rig, before: Mapping[str, int]) -> float:
    """Return when every caller that Asterisk still has got answers since the fault; adopted calls count from zero."""
    while True:
        now, channels = await answered(rig), (await rig.view.state()).channels
        callers = [channel for channel in channels if not channel.startswith(OURS)]
        if all(now.get(caller, 0) > before.get(caller, 0) for caller in callers):
            return time.monotonic()
        before = {caller: min(answered, now.get(caller, answered)) for caller, answered in before.items()}
        await asyncio.sleep(POLL_SECONDS)


async def _whole(rig: Rig, fault: Fault) -> float:
    """Return when the fault's own condition of the recovery is met."""
    while not await fault.is_whole(rig):
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic()


async def _end_of(calling: Calling, fault: Fault) -> Outcome:
    return await (calling.stop() if fault.asterisk_dies else calling.finish(fault.call_seconds + FINISH_SECONDS))


async def rest_of(rig: Rig) -> Rest:
    """Return the left-overs after a time to settle."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        status, state = await rig.relay_view.status(), await rig.view.state()
        if status is None:
            raise LabError(f"the relay does not answer:\n{rig.relay.tail()}")
        rest = Rest(
            ports={name: status["ports"][name] for name in ("total", "free", "leased", "resting", "quarantined")},
            active=status["calls"]["active"],
            bound=_bound(rig),
            channels=sorted(state.channels),
            bridges=sorted(state.bridges),
        )
        if not leaked(rest, len(rig.ports)) or time.monotonic() > deadline:
            return rest
        await asyncio.sleep(POLL_SECONDS)


def _bound(rig: Rig) -> list[int]:
    """Return the ports of the range with sockets; a single port is the probe's and no leak."""
    ports = sorted(set(udp_ports_bound(rig.ports.first, rig.ports.last, Path("/proc/net/udp").read_text())))
    return ports if len(ports) > 1 else []


def _descriptors(rig: Rig) -> int:
    return sum(map(open_descriptors, (rig.relay.pid, *media_pids(rig.relay.pid))))


def _without_hung_up(held: Outcome, hung_up: frozenset[str]) -> Outcome:
    """Leave out calls that were hung up on purpose; they are not cut."""
    return Outcome(held.placed - hung_up, held.answered - hung_up, held.talked, held.refused)


def _known(records: tuple[Record, ...], hung_up: frozenset[str]) -> list[Record]:
    return [record for record in records if record.sip_call_id not in hung_up]


def _count(
    result: RoundResult, held: Outcome, hung_up: frozenset[str], trials: _Trials, records: tuple[Record, ...]
) -> None:
    result.survived = len(held.talked)
    result.cut = len(held.answered - held.talked - hung_up)
    result.trials = trials.tried
    result.lost_packets = sum(record.packets - record.answered for record in records)
    result.adopted = sum(record.adopted for record in records)
    recorded = {record.sip_call_id for record in records}
    for call in sorted(hung_up - recorded):
        result.findings.append(f"call {call} hung up while the connection was silent, and the relay has no record")


async def _clean(rig: Rig) -> None:
    """Hang up the calls that a killed SIPp left in Asterisk, before the next round."""
    for channel in (await rig.view.state()).channels:
        await rig.view.hang_up(channel)

"""Properties of a relay with a real Asterisk, without a fault: a hundred calls, refusals, events within a call."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lab.base.errors import LabError
from lab.base.report import Figure
from lab.faults.calls.places import HELD_RTP_PORT, TRIAL_RTP_PORT
from lab.faults.calls.rig.callers import Outcome, Plan
from lab.faults.calls.rig.relay import Record, records_of, tracebacks_of
from lab.faults.calls.rig.rig import OURS, TAKES_ALL, Chain, Ports, Rig, running_rig
from lab.faults.calls.rig.rooted import PhoneRoots
from lab.faults.calls.rounds.accounts import Evidence, dialplan_of, leaked, orphans, unaccounted, uncounted
from lab.faults.calls.rounds.rounds import all_talk, rest_of

LOAD_SECONDS, LOAD_CALLS_AT_ONCE, LOAD_CALL_SECONDS, MIN_PLACED = 300, 100, 30.0, 900
SETUP_P99_MICROSECONDS, FIRST_RETURN_P99_MICROSECONDS = 40_000, 5_000
ALL_PORTS = 101
HELD_SECONDS, HELD_PER_SECOND = 16.0, 20
TOO_MANY = 20
BACK_WITHIN_MILLISECONDS = 50
# Scenario, its event, and the least number of packets to the echo: 95 % of those sent.
EVENTS = (
    ("reinvite", "hold and re-INVITE", 237),
    ("ssrc", "another SSRC mid-call", 285),
    ("keys", "telephone events", 142),
)
ALL_UP_SECONDS, GRACE_SECONDS = 20.0, 40.0
MAX_LOG_CHARACTERS = 12_000


@dataclass(slots=True)
class RowResult:
    """A row's figures and further findings. `relay_log` has the relay's status and log, for the search of a cause."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    relay_log: str = ""

    def broken(self) -> list[str]:
        """Return a line for each missed bound, and all findings."""
        missed = [f"{each.name}: {each.measured}, bound {each.bound}" for each in self.figures if each.holds is False]
        return [*missed, *self.findings]


@dataclass(frozen=True, slots=True)
class Row:
    """A run that fills in its result and takes about `seconds`."""

    name: str
    title: str
    seconds: int
    run: Callable[[Stage, RowResult], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stage:
    """The arguments of a row: Asterisk and SIPp, a folder of its own, and a function that prints progress.

    A row of cases holds `calls` during each, and plays only `cases` where any are named. `minutes` is for the soak.
    """

    roots: PhoneRoots
    folder: Path
    say: Callable[[str], None]
    calls: int = 50
    cases: frozenset[str] = frozenset()
    minutes: float = 30.0


async def play_row(stage: Stage, row: Row) -> RowResult:
    """Play a row. An error that ends it is a finding."""
    result = RowResult(row.name, row.title)
    try:
        await row.run(stage, result)
    except LabError as error:
        result.findings.append(str(error))
    return result


async def _on_one_rig(
    ports: Ports, chain: Chain, run: Callable[[Rig, RowResult], Awaitable[None]], stage: Stage, result: RowResult
) -> None:
    """Run on a rig of its own. Afterwards no resource may be left, and the relay's counts must add up."""
    async with running_rig(stage.roots, stage.folder, ports, chain=chain) as rig:
        await _with_checks(rig, run, result)


async def _with_checks(rig: Rig, run: Callable[[Rig, RowResult], Awaitable[None]], result: RowResult) -> None:
    try:
        await run(rig, result)
        result.findings += leaked(await rest_of(rig), len(rig.ports))
        if status := await rig.relay_view.status():
            result.findings += uncounted(status["calls"])
            result.relay_log = f"{json.dumps(status)}\n"
    except LabError as error:
        result.findings.append(str(error))
    result.findings += [
        f"the relay's log has a traceback: {each[-400:]}" for each in tracebacks_of(rig.relay.log_text())[:2]
    ]
    result.relay_log += rig.relay.log_text()[-MAX_LOG_CHARACTERS:]


async def _load(rig: Rig, result: RowResult) -> None:
    calls = round(LOAD_SECONDS / LOAD_CALL_SECONDS) * LOAD_CALLS_AT_ONCE
    per_second = LOAD_CALLS_AT_ONCE / LOAD_CALL_SECONDS
    plan = Plan("load", calls, LOAD_CALL_SECONDS, HELD_RTP_PORT, per_second + 0.1, LOAD_CALLS_AT_ONCE)
    async with rig.callers.calling(plan) as calling:
        outcome = await calling.finish(LOAD_SECONDS + LOAD_CALL_SECONDS + GRACE_SECONDS)
    state, live = await rig.view.state(), await rig.relay_view.calls()
    stray = orphans(state.channels, state.bridges, [call["channelId"] for call in live])
    status = await _status(rig)
    records = records_of(rig.relay.log_text())
    result.findings += unaccounted(Evidence(outcome, dialplan_of(rig.dialplan_log()), records, asterisk_died=False))
    result.figures += load_figures(outcome, records, status, stray)


def load_figures(
    outcome: Outcome, records: Sequence[Record], status: Mapping[str, Any], stray: Sequence[str]
) -> list[Figure]:
    """Return the row's figures from the records of callers and relay."""
    placed, refused = len(outcome.placed), sum(status["calls"]["refused"].values())
    taken = [record for record in records if record.refused is None]
    silent = sum(1 for record in taken if not record.answered or not record.p50_microseconds)
    deleted = status["calls"]["orphansDeleted"]
    return [
        Figure("calls placed", str(placed), f">= {MIN_PLACED}", placed >= MIN_PLACED),
        _exactly("completed", len(outcome.talked), placed),
        _exactly("refused", refused, 0),
        _exactly("orphans", len(stray) + deleted, 0),
        _exactly("ports still leased", status["ports"]["leased"], 0),
        _exactly("calls with a zero or missing round trip", silent, 0),
        _exactly("lost packets", sum(record.lost for record in taken), 0),
        _at_most(
            "set-up, StasisStart to both in the bridge, p99", status["calls"].get("setup"), SETUP_P99_MICROSECONDS
        ),
        _at_most(
            "Asterisk's first packet to its return, p99",
            status["calls"].get("firstReturn"),
            FIRST_RETURN_P99_MICROSECONDS,
        ),
    ]


async def _refusal(rig: Rig, result: RowResult) -> None:
    held = Plan("held", ALL_PORTS, HELD_SECONDS, HELD_RTP_PORT, HELD_PER_SECOND)
    async with rig.callers.calling(held) as calling:
        await all_talk(rig, ALL_PORTS, ALL_UP_SECONDS)
        one_too_many = Plan("refused", TOO_MANY, 0, TRIAL_RTP_PORT, 10, 1, "refused")
        began = time.monotonic()
        async with rig.callers.calling(one_too_many) as refused:
            rejected = await refused.finish(GRACE_SECONDS)
        if time.monotonic() - began > HELD_SECONDS:
            raise LabError("the refusals took longer than the calls that hold all ports, so the row proves nothing")
        outcome = await calling.finish(HELD_SECONDS + GRACE_SECONDS)
    returned = dialplan_of(rig.dialplan_log()).returned
    back = [returned[call] for call in rejected.placed if call in returned]
    slowest = max((each.after_milliseconds for each in back), default=None)
    reasons = {each.refused for each in back}
    result.figures += [
        _exactly("calls held on as many ports", len(outcome.talked), ALL_PORTS),
        _exactly("one call too many, tries", len(rejected.placed), TOO_MANY),
        _exactly("refused by SIP 503", len(rejected.refused), TOO_MANY),
        _exactly("returned to the dialplan, unanswered", sum(each.channel == "Ring" for each in back), TOO_MANY),
        Figure(
            "longest time until the return (ms)",
            "none returned" if slowest is None else str(slowest),
            f"<= {BACK_WITHIN_MILLISECONDS}",
            slowest is not None and slowest <= BACK_WITHIN_MILLISECONDS,
            timed=True,
        ),
        Figure("RTP_RELAY_REFUSED", ", ".join(sorted(reasons)) or "not set", "NoFreePort", reasons == {"NoFreePort"}),
    ]


async def _events(rig: Rig, result: RowResult) -> None:
    """Play each scenario once: the call survives, and its event counts as neither loss nor delay."""
    for scenario, event, min_packets in EVENTS:
        offset = rig.relay.log_size()
        async with rig.callers.calling(Plan(scenario, 1, 0, HELD_RTP_PORT, 1, 1, scenario)) as calling:
            outcome = await calling.finish(GRACE_SECONDS)
        await rest_of(rig)
        records = [each for each in records_of(rig.relay.log_text(offset)) if each.sip_call_id in outcome.talked]
        result.figures += event_figures(event, min_packets, records)


def event_figures(event: str, min_packets: int, records: Sequence[Record]) -> list[Figure]:
    """Return a scenario's figures from the record of its one call."""
    packets, late = sum(record.packets for record in records), sum(record.late for record in records)
    return [
        _exactly(f"{event}: talked to the end, with a record", len(records), 1),
        Figure(f"{event}: packets to the echo", str(packets), f">= {min_packets}", packets >= min_packets),
        _exactly(f"{event}: lost", sum(record.lost for record in records), 0),
        Figure(f"{event}: late by relay or echo", str(late), "0", late == 0, timed=True),
    ]


async def _status(rig: Rig) -> dict[str, Any]:
    await rest_of(rig)
    status = await rig.relay_view.status()
    if status is None:
        raise LabError(f"the relay does not answer:\n{rig.relay.tail()}")
    return status


def _exactly(name: str, measured: int, expected: int) -> Figure:
    return Figure(name, str(measured), str(expected), measured == expected)


def _at_most(name: str, durations: Mapping[str, Any] | None, microseconds: int) -> Figure:
    p99 = durations["p99Microseconds"] if durations else None
    measured = "not measured" if p99 is None else f"{p99 / 1000:.1f} ms"
    return Figure(name, measured, f"<= {microseconds / 1000:g} ms", p99 is not None and p99 <= microseconds, timed=True)


ROWS = (
    Row(
        "load",
        "100 calls at a time for 300 s, 30 s each",
        345,
        partial(_on_one_rig, Ports(10000, 10149), OURS, _load),
    ),
    Row(
        "refusal",
        "the 102nd call on 101 ports",
        25,
        partial(_on_one_rig, Ports(11500, 11500 + ALL_PORTS - 1), TAKES_ALL, _refusal),
    ),
    Row("events", "what callers do mid-call", 25, partial(_on_one_rig, Ports(), TAKES_ALL, _events)),
)

"""Rows of many faults, the cases, on one rig: each is a round of its own, with its account, and a line of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from lab.base.report import Figure
from lab.faults.calls.rig.call_sites import CallSites, Site
from lab.faults.calls.rig.rig import TAKES_ALL, Chain, Ports, Rig, running_rig
from lab.faults.calls.rounds.accounts import RECOVERY_BOUND_SECONDS
from lab.faults.calls.rounds.call_site_faults import Stirring, call_site_fault, groups, trace_fault
from lab.faults.calls.rounds.faults import Fault
from lab.faults.calls.rounds.hostile import HOSTILE
from lab.faults.calls.rounds.pressure import EXHAUSTION, IDLE
from lab.faults.calls.rounds.rounds import RoundResult, play
from lab.faults.calls.rows.rows import Row, RowResult, Stage

SECONDS_A_CASE = 60
MIN_CALL_SITES = 20
BOUND = f"all, within {RECOVERY_BOUND_SECONDS:.0f} s, all accounted for"


async def play_cases(rig: Rig, cases: Sequence[Fault], stage: Stage, result: RowResult) -> None:
    """Play each case that the stage asks for. One that does not hold is a finding, and the others follow."""
    for number, case in enumerate(cases, 1):
        if stage.cases and case.title not in stage.cases:
            continue
        played = await play(rig, case, number, stage.calls)
        figure = case_figure(case, played)
        stage.say(f"{case.title}: {figure.measured}{''.join(f'; {each}' for each in played.findings)}")
        result.figures.append(figure)
        result.findings += [f"{case.title}: {each}" for each in played.findings]


def case_figure(case: Fault, played: RoundResult) -> Figure:
    """Return the line of a case: calls that went on, the recovery, and the notes of the fault."""
    after = played.recovered_after_seconds
    recovery = "never whole again" if after is None else f"whole after {after:.2f} s"
    load = [] if played.load is None else [str(played.load)]
    measured = "; ".join([f"{played.survived} of {played.calls} calls went on, {recovery}", *played.notes, *load])
    return Figure(case.title, measured, BOUND, not played.findings and played.survived == played.calls)


async def _on_one_rig(cases: Sequence[Fault], stage: Stage, result: RowResult, *, bends: bool = False) -> None:
    async with running_rig(stage.roots, stage.folder, Ports(), bends=bends, chain=TAKES_ALL) as rig:
        await play_cases(rig, cases, stage, result)


async def _call_sites(stage: Stage, result: RowResult) -> None:
    """List the call sites in a round without a fault, then play one round for each."""
    sites, found = CallSites(stage.folder), list[Site]()
    stirring = Stirring(stage.folder / "pools.json")
    chain = Chain(TAKES_ALL.relay, TAKES_ALL.echo, {**TAKES_ALL.settings, "POOL_CONFIG": str(stirring.pools)})
    everything = replace(stage, cases=frozenset())
    async with running_rig(
        stage.roots, stage.folder, Ports(), through_proxy=True, chain=chain, variables=sites.variables
    ) as rig:
        at_start = sites.all_listed()
        await play_cases(rig, [trace_fault(sites, found, stirring)], everything, result)
        result.figures.append(
            Figure("call sites", str(len(found)), f">= {MIN_CALL_SITES}", len(found) >= MIN_CALL_SITES)
        )
        await play_cases(
            rig, [call_site_fault(sites, group, stirring) for group in groups(found, at_start)], stage, result
        )


def _row(name: str, title: str, cases: Sequence[Fault], *, bends: bool = False) -> Row:
    return Row(name, title, len(cases) * SECONDS_A_CASE, partial(_on_one_rig, cases, bends=bends))


CASE_ROWS = (
    _row("descriptors", "no descriptor is free", EXHAUSTION),
    _row("idle", "10,000 idle connections", IDLE),
    _row("hostile", "an Asterisk that bends its answers", HOSTILE, bends=True),
    Row("errno", "EMFILE and ENOMEM at each call site", MIN_CALL_SITES * SECONDS_A_CASE, _call_sites),
)

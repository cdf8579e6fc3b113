"""The command line of the fault runs: break one thing at a time under live calls and publish the results."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lab.base.command import run_alone, say
from lab.base.errors import LabError
from lab.base.places import REPOSITORY
from lab.base.report import VERDICTS, machine_line, replace_part
from lab.base.services import compile_ahead
from lab.faults.calls.places import OUTPUT, PAGE
from lab.faults.calls.report import PART, fault_table, findings, row_table, to_json
from lab.faults.calls.rig.rig import TAKES_ALL, Ports, running_rig
from lab.faults.calls.rig.rooted import PhoneRoots, prepare_phones
from lab.faults.calls.rounds.faults import FAULTS, Fault
from lab.faults.calls.rounds.rounds import RoundResult, play
from lab.faults.calls.rows.cases import CASE_ROWS
from lab.faults.calls.rows.leases import LEASES
from lab.faults.calls.rows.rows import ROWS, Row, RowResult, Stage, play_row
from lab.faults.calls.rows.soak import SOAK
from lab.faults.calls.rows.tiers import TIERS
from lab.faults.calls.rows.transfer import TRANSFER
from rtppool_core.process.machine import this_machine

TABLE = "table.md"
RUNS = (*ROWS, TRANSFER, TIERS, LEASES, *CASE_ROWS, SOAK)
ROUNDS, CALLS = 20, 50
SECONDS_A_ROUND = 13
MAX_DESCRIPTORS_MORE = 24  # the pool of connections to Asterisk, full or empty, and a few for requests of /status


def main(arguments: Sequence[str]) -> int:
    """Run the chosen faults and rows; return the exit code of `run_alone`."""
    options = _parser().parse_args(arguments)
    return run_alone("chaos", lambda: _play(options))


def _play(options: argparse.Namespace) -> int:
    faults = [fault for fault in FAULTS if not options.only or fault.name in options.only]
    rows = [row for row in RUNS if not options.only or row.name in options.only]
    compile_ahead()
    found = asyncio.run(_run(prepare_phones(), faults, rows, options))
    if options.publish:
        PAGE.write_text(replace_part(PAGE.read_text(), PART, (OUTPUT / TABLE).read_text()))
        say(f"published in {PAGE.relative_to(REPOSITORY)}")
    return 1 if found else 0


async def _run(
    roots: PhoneRoots, faults: Sequence[Fault], rows: Sequence[Row], options: argparse.Namespace
) -> Sequence[str]:
    """Run everything; return the findings."""
    rounds, calls = options.rounds, options.calls
    minutes = (len(faults) * rounds * SECONDS_A_ROUND + sum(row.seconds for row in rows)) / 60
    say(f"{len(faults)} faults, {rounds} rounds of {calls} calls each; {len(rows)} other runs; about {minutes:.0f} min")
    machine = this_machine()
    folder = Path(tempfile.mkdtemp(prefix="rtp-pool-chaos-"))
    results = {fault: await _series(roots, fault, rounds, calls, folder) for fault in faults}
    played = [await _row(roots, row, folder, options) for row in rows]
    tables = [*([fault_table(results)] if results else []), *([row_table(played)] if played else [])]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / TABLE).write_text("\n\n".join([machine_line(machine), *tables]) + "\n")
    about = {"machine": asdict(machine), "callsHeld": calls, "rounds": rounds}
    (OUTPUT / "chaos.json").write_text(to_json(results, played, about))
    say("\n\n".join(["", *tables, f"written to {OUTPUT.relative_to(REPOSITORY)}: {TABLE}, chaos.json"]))
    if found := findings(results, played):
        say("\n  ".join(["findings:", *found]))
        say(f"logs of the run: {folder}")
    else:
        shutil.rmtree(folder)
        say("everything holds")
    return found


async def _row(roots: PhoneRoots, row: Row, folder: Path, options: argparse.Namespace) -> RowResult:
    say(f"{row.title}: about {row.seconds} s")
    own = folder / row.name
    own.mkdir()
    stage = Stage(roots, own, lambda text: say(f"  {text}"), options.calls, frozenset(options.cases), options.minutes)
    return await play_row(stage, row)


async def _series(roots: PhoneRoots, fault: Fault, rounds: int, calls: int, folder: Path) -> list[RoundResult]:
    """Play all rounds of a fault on one rig. A round that cannot go on is a finding and ends the series."""
    say(f"{fault.title}:")
    own, results = folder / fault.name, list[RoundResult]()
    own.mkdir()
    try:
        async with running_rig(roots, own, Ports(), through_proxy=fault.through_proxy, chain=TAKES_ALL) as rig:
            for number in range(1, rounds + 1):
                began = time.monotonic()
                results.append(await play(rig, fault, number, calls))
                say(f"  {_line(results[-1])} ({time.monotonic() - began:.0f} s)")
    except LabError as error:
        broken = RoundResult(fault.name, len(results) + 1, calls, findings=[str(error)])
        results.append(broken)
        say(f"  {_line(broken)}")
    grown = results[-1].descriptors - results[0].descriptors
    if results[-1].descriptors and grown > MAX_DESCRIPTORS_MORE:
        results[-1].findings.append(f"the relay holds {grown} more descriptors than after the first round")
    return results


def _line(result: RoundResult) -> str:
    after = result.recovered_after_seconds
    recovery = "never recovered" if after is None else f"recovered after {after:.2f} s"
    verdict = "; ".join(result.findings) or VERDICTS[True]
    load = "" if result.load is None else f" ({result.load})"
    return f"round {result.number}: {recovery}, {result.survived} survived, {result.cut} cut: {verdict}{load}"


def _parser() -> argparse.ArgumentParser:
    contents = "\n".join(f"  {each.name:<10} {each.title}" for each in (*FAULTS, *RUNS))
    parser = argparse.ArgumentParser(
        prog="make chaos",
        description="Break one thing at a time under live calls of a real Asterisk 22, and account for every call. "
        "Needs root: Asterisk and SIPp run in root file systems of their own.",
        epilog=f"faults and rows:\n{contents}\n\nWith make: make chaos CHAOS='--only asterisk --rounds 3'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [each.name for each in (*FAULTS, *RUNS)]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="run only these")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of each fault ({ROUNDS})")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"calls held during a fault ({CALLS})")
    parser.add_argument("--cases", nargs="+", default=(), metavar="CASE", help="of a row of cases, play only these")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the soak (30)")
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/chaos.md")
    return parser

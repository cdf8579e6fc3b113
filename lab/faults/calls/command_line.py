"""`make chaos`: break things under live calls, print what was found, keep table and JSON."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lab.faults.calls.errors import ChaosError
from lab.faults.calls.places import OUTPUT, PAGE, ROOT
from lab.faults.calls.report import findings, published, row_table, table, to_json
from lab.faults.calls.rig.relay import compile_ahead
from lab.faults.calls.rig.rig import TAKES_ALL, Ports, running_rig
from lab.faults.calls.rig.rooted import PhoneRoots, have_phones
from lab.faults.calls.rounds.faults import FAULTS, Fault
from lab.faults.calls.rounds.rounds import RoundResult, play
from lab.faults.calls.rows.leases import LEASES
from lab.faults.calls.rows.rows import ROWS, Row, RowResult, Stage, play_row
from lab.faults.calls.rows.tiers import TIERS
from lab.faults.calls.turn import own_turn
from rtppool_core.process.machine import Machine, this_machine

TABLE = "table.md"
RUNS = (*ROWS, TIERS, LEASES)
ROUNDS, CALLS = 20, 50
SECONDS_A_ROUND = 13
MAX_DESCRIPTORS_MORE = 24  # the pool of connections to Asterisk, full or empty, and some for whoever asks /status


def main(arguments: Sequence[str]) -> int:
    """0: everything held; 1: something did not; 2: it could not be run."""
    options = _parser().parse_args(arguments)
    try:
        with own_turn():
            return _play(options)
    except ChaosError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("chaos: interrupted; nothing was written", file=sys.stderr)
        return 130


def _play(options: argparse.Namespace) -> int:
    faults = [fault for fault in FAULTS if not options.only or fault.name in options.only]
    rows = [row for row in RUNS if not options.only or row.name in options.only]
    compile_ahead()
    found = asyncio.run(_run(have_phones(), faults, rows, options.rounds, options.calls))
    if options.publish:
        PAGE.write_text(published(PAGE.read_text(), (OUTPUT / TABLE).read_text().strip()))
        _say(f"published in {PAGE.relative_to(ROOT)}")
    return 1 if found else 0


async def _run(
    roots: PhoneRoots, faults: Sequence[Fault], rows: Sequence[Row], rounds: int, calls: int
) -> Sequence[str]:
    """Everything that did not hold."""
    minutes = (len(faults) * rounds * SECONDS_A_ROUND + sum(row.seconds for row in rows)) / 60
    _say(
        f"{len(faults)} faults, {rounds} rounds of {calls} calls each; {len(rows)} other runs; about {minutes:.0f} min"
    )
    machine = this_machine()
    folder = Path(tempfile.mkdtemp(prefix="rtp-pool-chaos-"))
    results = {fault: await _series(roots, fault, rounds, calls, folder) for fault in faults}
    played = [await _row(roots, row, folder) for row in rows]
    tables = [*([table(results)] if results else []), *([row_table(played)] if played else [])]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / TABLE).write_text("\n\n".join([_about(machine), *tables]) + "\n")
    about = {"machine": asdict(machine), "callsHeld": calls, "rounds": rounds}
    (OUTPUT / "chaos.json").write_text(to_json(results, played, about))
    _say("\n\n".join(["", *tables, f"written to {OUTPUT.relative_to(ROOT)}: {TABLE}, chaos.json"]))
    if found := findings(results, played):
        _say("\n  ".join(["what did not hold:", *found]))
        _say(f"logs of the run: {folder}")
    else:
        shutil.rmtree(folder)
        _say("everything held")
    return found


def _about(machine: Machine) -> str:
    return (
        f"{machine.processor}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python}; "
        f"{machine.began}, load at the beginning {machine.load}."
    )


async def _row(roots: PhoneRoots, row: Row, folder: Path) -> RowResult:
    _say(f"{row.title}: about {row.seconds} s")
    own = folder / row.name
    own.mkdir()
    return await play_row(Stage(roots, own, lambda text: _say(f"  {text}")), row)


async def _series(roots: PhoneRoots, fault: Fault, rounds: int, calls: int, folder: Path) -> list[RoundResult]:
    """All rounds of a fault on one rig; one that can't go on ends the series, and says so."""
    _say(f"{fault.title}:")
    own, results = folder / fault.name, list[RoundResult]()
    own.mkdir()
    try:
        async with running_rig(roots, own, Ports(), through_proxy=fault.through_proxy, chain=TAKES_ALL) as rig:
            for number in range(1, rounds + 1):
                began = time.monotonic()
                results.append(await play(rig, fault, number, calls))
                _say(f"  {_line(results[-1])} ({time.monotonic() - began:.0f} s)")
    except ChaosError as error:
        broken = RoundResult(fault.name, len(results) + 1, calls, findings=[str(error)])
        results.append(broken)
        _say(f"  {_line(broken)}")
    grown = results[-1].descriptors - results[0].descriptors
    if results[-1].descriptors and grown > MAX_DESCRIPTORS_MORE:
        results[-1].findings.append(f"the relay holds {grown} descriptors more than after the first round")
    return results


def _line(result: RoundResult) -> str:
    whole = "never whole" if result.whole_after_seconds is None else f"whole after {result.whole_after_seconds:.2f} s"
    told = "; ".join(result.findings) or "held"
    return f"round {result.number}: {whole}, {result.survived} went on, {result.cut} cut: {told}"


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    contents = "\n".join(f"  {each.name:<10} {each.title}" for each in (*FAULTS, *RUNS))
    parser = argparse.ArgumentParser(
        prog="make chaos",
        description="Break one thing at a time under live calls of a real Asterisk 22, and account for every call. "
        "Needs root: Asterisk and SIPp run in root file systems of their own.",
        epilog=f"what is done:\n{contents}\n\nWith make: make chaos CHAOS='--only asterisk --rounds 3'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [each.name for each in (*FAULTS, *RUNS)]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these only")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each fault ({ROUNDS})")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"held while it strikes ({CALLS})")
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/chaos.md")
    return parser

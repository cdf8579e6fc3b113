"""`make chaos`: break things under live calls, print what was found, keep table and JSON."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rtppool_chaos.errors import ChaosError
from rtppool_chaos.faults import FAULTS, Fault
from rtppool_chaos.places import OUTPUT, ROOT
from rtppool_chaos.report import findings, table, to_json
from rtppool_chaos.rig import Ports, running_rig
from rtppool_chaos.rooted import PhoneRoots, have_phones
from rtppool_chaos.rounds import RoundResult, play
from rtppool_chaos.turn import own_turn

ROUNDS, CALLS = 20, 50
SECONDS_A_ROUND = 13
MOST_DESCRIPTORS_MORE = 8


def main(arguments: Sequence[str]) -> int:
    """0: everything held; 1: something did not; 2: it could not be run."""
    options = _parser().parse_args(arguments)
    chosen = [fault for fault in FAULTS if not options.only or fault.name in options.only]
    try:
        with own_turn():
            return asyncio.run(_run(have_phones(), chosen, options.rounds, options.calls))
    except ChaosError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("chaos: interrupted; nothing was written", file=sys.stderr)
        return 130


async def _run(roots: PhoneRoots, chosen: Sequence[Fault], rounds: int, calls: int) -> int:
    minutes = len(chosen) * rounds * SECONDS_A_ROUND / 60
    _say(f"{len(chosen)} faults, {rounds} rounds of {calls} calls each; about {minutes:.0f} min")
    began = datetime.now(UTC).isoformat(timespec="seconds")
    results: dict[Fault, list[RoundResult]] = {}
    folder = Path(tempfile.mkdtemp(prefix="rtp-pool-chaos-"))
    for fault in chosen:
        results[fault] = await _series(roots, fault, rounds, calls, folder)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "table.md").write_text(table(results) + "\n")
    (OUTPUT / "chaos.json").write_text(to_json(results, {"began": began, "callsHeld": calls, "rounds": rounds}))
    _say(f"\n{table(results)}\n\nwritten to {OUTPUT.relative_to(ROOT)}: table.md, chaos.json")
    if found := findings(results):
        _say("\n  ".join(["what did not hold:", *found]))
        _say(f"logs of the run: {folder}")
        return 1
    shutil.rmtree(folder)
    _say("everything held")
    return 0


async def _series(roots: PhoneRoots, fault: Fault, rounds: int, calls: int, folder: Path) -> list[RoundResult]:
    """All rounds of a fault on one rig; one that can't go on ends the series, and says so."""
    _say(f"{fault.title}:")
    own, results = folder / fault.name, list[RoundResult]()
    own.mkdir()
    try:
        async with running_rig(roots, own, Ports(), through_proxy=fault.through_proxy) as rig:
            for number in range(1, rounds + 1):
                began = time.monotonic()
                results.append(await play(rig, fault, number, calls))
                _say(f"  {_line(results[-1])} ({time.monotonic() - began:.0f} s)")
    except ChaosError as error:
        broken = RoundResult(fault.name, len(results) + 1, calls, findings=[str(error)])
        results.append(broken)
        _say(f"  {_line(broken)}")
    grown = results[-1].descriptors - results[0].descriptors
    if results[-1].descriptors and grown > MOST_DESCRIPTORS_MORE:
        results[-1].findings.append(f"the relay holds {grown} descriptors more than after the first round")
    return results


def _line(result: RoundResult) -> str:
    whole = "never whole" if result.whole_after_seconds is None else f"whole after {result.whole_after_seconds:.2f} s"
    told = "; ".join(result.findings) or "held"
    return f"round {result.number}: {whole}, {result.survived} went on, {result.cut} cut: {told}"


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {fault.name:<10} {fault.title}" for fault in FAULTS)
    parser = argparse.ArgumentParser(
        prog="make chaos",
        description="Break one thing at a time under live calls of a real Asterisk 22, and account for every call. "
        "Needs root: Asterisk and SIPp run in root file systems of their own.",
        epilog=f"faults:\n{faults}\n\nWith make: make chaos CHAOS='--only asterisk --rounds 3'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these faults only")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each fault ({ROUNDS})")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"held while it strikes ({CALLS})")
    return parser

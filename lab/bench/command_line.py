"""The command line of the benchmarks: run measurements, print each figure with its target, publish the results."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp

from lab.base.command import run_alone, say
from lab.base.errors import LabError
from lab.base.machine_load import cpu_times, stolen_percent
from lab.base.places import REPOSITORY
from lab.base.services import compile_ahead
from lab.bench.contents import CONTENTS, Measurement
from lab.bench.measure.interleaved import MAX_REPEATS, MAX_STEAL_PER_CENT
from lab.bench.places import OUTPUT, PAGE
from lab.bench.programs.compiled import compile_all
from lab.bench.results.plot import draw
from lab.bench.results.report import Part, is_broken, markdown, missed, publish, to_json
from lab.bench.session import Session
from lab.bench.subjects.library_form import with_library
from lab.bench.subjects.rtpengine import find_or_install
from rtppool_core.process.machine import this_machine

QUICK_ROUNDS, QUICK_SECONDS, QUICK_LONG_SECONDS, QUICK_PACKETS = 2, 2.0, 10.0, 100_000
QUICK_STRETCH_SECONDS = 8.0


def main(arguments: Sequence[str]) -> int:
    """Run the chosen measurements; return the exit code of `run_alone`. A missed target alone is no failure."""
    options = _parser().parse_args(arguments)
    return run_alone("bench", lambda: _play(options))


def _play(options: argparse.Namespace) -> int:
    chosen = [each for each in CONTENTS if not options.only or each.name in options.only]
    with tempfile.TemporaryDirectory(prefix="rtp-pool-bench-") as folder:
        session = _session(options, Path(folder), with_rtpengine=any(each.compares_relays for each in chosen))
        return asyncio.run(_run(session, chosen, PAGE if options.publish else None))


async def _run(session: Session, chosen: Sequence[Measurement], page: Path | None) -> int:
    machine, parts = this_machine(), {}
    began = cpu_times()
    method = (
        f"{session.rounds} rounds of {session.seconds:g} s after a warm-up round, candidates interleaved in rotating "
        "order. Ratios are formed round by round. A target bounds their median, or the worst round where an event must "
        f"never happen. A round with more than {MAX_STEAL_PER_CENT:g} % steal is repeated, at most {MAX_REPEATS} times."
    )
    for number, measurement in enumerate(chosen):
        left = sum(each.estimated_seconds(session) for each in chosen[number:])
        say(f"[{number + 1}/{len(chosen)}] {measurement.title}; about {left / 60:.0f} min left")
        part = parts[measurement.name] = await _part(session, measurement)
        say(markdown(machine, method, [part]).partition("\n\n")[2])
    method += f" Steal during the whole run: {stolen_percent(began, cpu_times()):.2f} %."
    everything = list(parts.values())
    OUTPUT.mkdir(parents=True, exist_ok=True)
    table, picture = markdown(machine, method, everything), OUTPUT / "bench.png"
    (OUTPUT / "table.md").write_text(table)
    (OUTPUT / "bench.json").write_text(to_json(machine, method, parts))
    drawn = draw(everything, picture)
    files = ["table.md", "bench.json", *([picture.name] if drawn else [])]
    say(f"written to {OUTPUT.relative_to(REPOSITORY)}: {', '.join(files)}")
    if page is not None:
        publish(page, table, picture if drawn else None)
        say(f"published in {page.relative_to(REPOSITORY)}")
    if misses := missed(everything):
        say("\n  ".join(["not reached:", *misses]))
    else:
        say("every target was reached")
    return 1 if is_broken(everything) else 0


async def _part(session: Session, measurement: Measurement) -> Part:
    """Run one measurement. One that fails is a row of the table, and the others still run."""
    started, before = time.monotonic(), cpu_times()
    session = replace(session, marks=[])
    try:
        result = await measurement.run(session)
    except (LabError, aiohttp.ClientError, OSError) as error:
        return Part(measurement.title, None, str(error) or type(error).__name__)
    say(f"  took {time.monotonic() - started:.0f} s")
    if (stolen := stolen_percent(before, cpu_times())) > MAX_STEAL_PER_CENT:
        session.marks.append(f"the hypervisor took {stolen:.1f} % of the processors in this part")
    return Part(measurement.title, result, marks=session.marks)


def _session(options: argparse.Namespace, folder: Path, *, with_rtpengine: bool) -> Session:
    say("bench: compiling the packet path and the reference programs")
    compile_ahead()
    quick = options.quick
    return Session(
        programs=compile_all(folder),
        rtpengine=find_or_install(say) if with_rtpengine else None,
        rounds=options.rounds or (QUICK_ROUNDS if quick else 5),
        seconds=options.seconds or (QUICK_SECONDS if quick else 6.0),
        long_seconds=QUICK_LONG_SECONDS if quick else 60.0,
        stretch_seconds=QUICK_STRETCH_SECONDS if quick else 30.0,
        scenarios=options.scenarios,
        pairs=options.pairs or (QUICK_ROUNDS if quick else 20),
        pair_seconds=options.pair_seconds or (QUICK_STRETCH_SECONDS if quick else 30.0),
        hostile_packets=QUICK_PACKETS if quick else 1_000_000,
        folder=folder,
        say=lambda text: say(f"  {text}"),
        library=with_library(folder / "library-form"),
    )


def _parser() -> argparse.ArgumentParser:
    names = [each.name for each in CONTENTS]
    contents = "\n".join(f"  {each.name:<12} {each.title}" for each in CONTENTS)
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure the cost of packets and check the product's figures against reference programs.",
        epilog=f"measurements:\n{contents}\n\nWith make: make bench BENCH='--only truth --rounds 3'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="run only these measurements")
    parser.add_argument("--rounds", type=int, help="measured rounds (5), after one warm-up round")
    parser.add_argument("--seconds", type=float, help="measured seconds of each round (6)")
    parser.add_argument(
        "--scenarios",
        nargs="+",
        default=[],
        metavar="WORD",
        help="run only scenarios with such a word",
    )
    parser.add_argument("--pairs", type=int, help="pairs of runs that compare two settings (20)")
    parser.add_argument("--pair-seconds", type=float, help="measured seconds of each run of a pair (30)")
    parser.add_argument("--quick", action="store_true", help="two short rounds: whether it runs, not its cost")
    parser.add_argument("--publish", action="store_true", help="put table and picture into docs/performance.md")
    return parser

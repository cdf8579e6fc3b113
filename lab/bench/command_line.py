"""`make bench`: run the measurements, print each figure with its target, keep table, JSON and picture."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from lab.bench.contents import CONTENTS, Measurement
from lab.bench.places import OUTPUT, PAGE, ROOT
from lab.bench.programs.compiled import BenchError, compile_all
from lab.bench.results.plot import draw
from lab.bench.results.publish import publish
from lab.bench.results.report import Part, is_broken, markdown, missed, to_json
from lab.bench.session import Session
from lab.bench.subjects.rtpengine import find_or_install
from lab.bench.turn import own_turn
from rtppool_callgen.local.processes import ChildFailed
from rtppool_core.process.machine import this_machine

QUICK_ROUNDS, QUICK_SECONDS, QUICK_LONG_SECONDS, QUICK_PACKETS = 2, 2.0, 10.0, 100_000


def main(arguments: Sequence[str]) -> int:
    """Returns 0 unless packets were lost where none may be, or a measurement failed; missed targets are only said."""
    options = _parser().parse_args(arguments)
    chosen = [each for each in CONTENTS if not options.only or each.name in options.only]
    try:
        with own_turn(), tempfile.TemporaryDirectory(prefix="rtp-pool-bench-") as folder:
            session = _session(options, Path(folder))
            return asyncio.run(_run(session, chosen, PAGE if options.publish else None))
    except BenchError as error:
        _say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        _say("bench: interrupted; nothing was written")
        return 130


async def _run(session: Session, chosen: Sequence[Measurement], page: Path | None) -> int:
    machine, parts = this_machine(), {}
    method = (
        f"{session.rounds} rounds of {session.seconds:g} s after a warm-up round, candidates interleaved, their order "
        "turned each round; ratios are made round by round; a target is held against their median, or against the "
        "worst round where nothing may happen at all."
    )
    for number, measurement in enumerate(chosen):
        left = sum(each.estimated_seconds(session) for each in chosen[number:])
        _say(f"[{number + 1}/{len(chosen)}] {measurement.title}; about {left / 60:.0f} min left")
        part = parts[measurement.name] = await _part(session, measurement)
        _say(markdown(machine, method, [part]).partition("\n\n")[2])
    everything = list(parts.values())
    OUTPUT.mkdir(parents=True, exist_ok=True)
    table, picture = markdown(machine, method, everything), OUTPUT / "bench.png"
    (OUTPUT / "table.md").write_text(table)
    (OUTPUT / "bench.json").write_text(to_json(machine, method, parts))
    drawn = draw(everything, picture)
    files = ["table.md", "bench.json", *([picture.name] if drawn else [])]
    _say(f"written to {OUTPUT.relative_to(ROOT)}: {', '.join(files)}")
    if page is not None:
        publish(page, table, picture if drawn else None)
        _say(f"published in {page.relative_to(ROOT)}")
    if misses := missed(everything):
        _say("\n  ".join(["not reached:", *misses]))
    else:
        _say("every target was reached")
    return 1 if is_broken(everything) else 0


async def _part(session: Session, measurement: Measurement) -> Part:
    """A measurement that fails is told in the table, and the others go on."""
    started = time.monotonic()
    try:
        result = await measurement.run(session)
    except (BenchError, ChildFailed, aiohttp.ClientError, OSError) as error:
        return Part(measurement.title, None, str(error) or type(error).__name__)
    _say(f"  took {time.monotonic() - started:.0f} s")
    return Part(measurement.title, result)


def _session(options: argparse.Namespace, folder: Path) -> Session:
    _say("bench: compiling the reference programs")
    quick = options.quick
    return Session(
        programs=compile_all(folder),
        rtpengine=find_or_install(_say),
        rounds=options.rounds or (QUICK_ROUNDS if quick else 5),
        seconds=options.seconds or (QUICK_SECONDS if quick else 6.0),
        long_seconds=QUICK_LONG_SECONDS if quick else 60.0,
        hostile_packets=QUICK_PACKETS if quick else 1_000_000,
        folder=folder,
        say=lambda text: _say(f"  {text}"),
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    names = [each.name for each in CONTENTS]
    contents = "\n".join(f"  {each.name:<12} {each.title}" for each in CONTENTS)
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="What the media plane costs and whether its figures are true, against reference programs.",
        epilog=f"measurements:\n{contents}\n\nWith make: make bench BENCH='--only truth --rounds 3'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these measurements only")
    parser.add_argument("--rounds", type=int, help="rounds that count (5), after one that warms up")
    parser.add_argument("--seconds", type=float, help="measured in each round (6)")
    parser.add_argument("--quick", action="store_true", help="two short rounds: does it run, not what does it cost")
    parser.add_argument("--publish", action="store_true", help="put table and picture into docs/performance.md")
    return parser

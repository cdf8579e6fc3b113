"""`make chaos`, the operator's part: campaign, scale and idle runs on a real API server."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.cluster.tooling import make_tooling
from lab.faults.operator.api.api_server import Programs
from lab.faults.operator.api.audit import missing, read_audit, table, unused
from lab.faults.operator.errors import HarnessError
from lab.faults.operator.report import PAGE, campaign_figures, document, with_measured, write
from lab.faults.operator.rig.rig import NotConverged, Rig, find_programs, make_rig
from lab.faults.operator.runs.campaign import campaign
from lab.faults.operator.runs.faults import FAULTS, Stage, fault_named
from lab.faults.operator.runs.idle import idle
from lab.faults.operator.runs.node_edits import edits_on_nodes
from lab.faults.operator.runs.scale import ANSWER_SECONDS, POOLS, RELAYS, Figure, scale

SEED = 20_260_101
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part runs: with these programs, its files below `folder`."""

    folder: Path
    programs: Programs
    options: argparse.Namespace


@dataclass(frozen=True, slots=True)
class Part:
    """One run. `unasked`: it is made when none is named."""

    name: str
    title: str
    run: Callable[[Place], Awaitable[list[Figure]]]
    unasked: bool = True


async def _campaign(rig: Rig, options: argparse.Namespace) -> list[Figure]:
    stage = Stage(rig, random.Random(options.seed), rig.operator())
    chosen = [fault_named(name) for name in options.fault] or FAULTS
    outcome = await campaign(stage, options.seed, options.faults, chosen, _say)
    audit = read_audit(rig.server.audit_log.read_text().splitlines())
    _say("what the operator asked the API server for:\n  " + "\n  ".join(table(audit)))
    over, lacking = unused(rig.permissions, audit), missing(rig.permissions, audit)
    return [
        *campaign_figures(outcome),
        Figure("requests that no role allows", "; ".join(lacking) or "none", "none", not lacking),
        Figure("rights that this run did not need", "; ".join(over) or "none"),
    ]


async def _scale(rig: Rig, options: argparse.Namespace) -> list[Figure]:
    return await scale(rig, rig.operator(direct=True), random.Random(options.seed), _say)


async def _idle(rig: Rig, options: argparse.Namespace) -> list[Figure]:
    return await idle(rig, rig.operator(direct=True), options.minutes, _say)


async def _edits(place: Place) -> list[Figure]:
    return await edits_on_nodes(make_tooling(), place.options.edits, random.Random(place.options.seed), _say)


def _on_rig(
    run: Callable[[Rig, argparse.Namespace], Awaitable[list[Figure]]], answer_seconds: float = 0.0
) -> Callable[[Place], Awaitable[list[Figure]]]:
    """On an API server of its own, with simulated relays."""

    async def run_there(place: Place) -> list[Figure]:
        chance = random.Random(place.options.seed)
        async with make_rig(place.folder, place.programs, chance, answer_seconds=answer_seconds) as rig:
            return await run(rig, place.options)

    return run_there


PARTS = (
    Part("campaign", "Faults of operator, API server, relays and people", _on_rig(_campaign)),
    Part("scale", f"{RELAYS} relays and {POOLS} pools", _on_rig(_scale, ANSWER_SECONDS)),
    Part("idle", "An idle pool", _on_rig(_idle)),
    Part("edits", "Edits of a pool on the nodes of a cluster", _edits, unasked=False),
)


def main(arguments: Sequence[str]) -> int:
    """0: everything held; 1: something did not; 2: it could not be run."""
    options = _parser().parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="rtp-pool-operator-"))
    try:
        held = asyncio.run(_run(options, folder, find_programs()))
    except HarnessError as error:
        print(f"chaos: {error}\nlogs of the run: {folder}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("chaos: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    if held:
        shutil.rmtree(folder)
    else:
        _say(f"logs of the run: {folder}")
    return 0 if held else 1


async def _run(options: argparse.Namespace, folder: Path, programs: Programs) -> bool:
    results: dict[str, list[Figure]] = {}
    began = this_machine()
    for part in PARTS:
        machine = this_machine()
        if part.name not in options.only if options.only else not part.unasked:
            continue
        _say(f"{part.title}:")
        results[part.title] = await _part(part, Place(folder / part.name, programs, options))
        if options.publish:
            told = document(machine, {part.title: results[part.title]})
            PAGE.write_text(with_measured(PAGE.read_text(), part.name, told))
    place = write(began, results)
    _say(f"\n{document(began, results)}\n\nwritten to {place}")
    return all(each.holds is not False for figures in results.values() for each in figures)


async def _part(part: Part, place: Place) -> list[Figure]:
    """What did not come about at all is a row of the table, and the other parts go on."""
    try:
        return await part.run(place)
    except NotConverged as missed:
        return [Figure(part.name, str(missed), "comes about", holds=False)]


def this_machine() -> str:
    """What figures were measured on, and when."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return (
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, {now}, load average "
        f"{os.getloadavg()[0]:.1f} at the beginning. API server, etcd, relays and operator share the cores."
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.faults.operator",
        description="The operator on a real API server: faults by chance, scale, idleness.",
    )
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="PART",
        help=f"of {', '.join(names)}; edits need the cluster of `make up`, and are made only when they are named",
    )  # fmt: skip
    parser.add_argument("--faults", type=int, default=100, help="of the campaign (100)")
    parser.add_argument("--fault", nargs="+", default=[], metavar="NAME", help="these faults only, by their names")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of chance ({SEED}): the same one repeats a run")
    parser.add_argument("--edits", type=int, default=60, help="on the nodes of the cluster (60)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of idleness (10)")
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/scaling.md")
    return parser

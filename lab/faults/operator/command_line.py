"""The command line of the operator's runs: campaign, scale and idle runs on a real API server, edits on a cluster."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.base.audit_log import missing, read_audit, table, unused
from lab.base.command import run_alone, say
from lab.base.errors import LabError
from lab.base.report import Figure, machine_line, replace_part
from lab.cluster.tooling import make_tooling
from lab.faults.operator.api.api_server import Programs
from lab.faults.operator.report import PAGE, SHARED_CORES, campaign_figures, document, write
from lab.faults.operator.rig.rig import NotConverged, RemoteSettings, Rig, find_programs, make_rig
from lab.faults.operator.runs.campaign import campaign
from lab.faults.operator.runs.exhaustion import exhaustion
from lab.faults.operator.runs.faults import FAULTS, fault_named
from lab.faults.operator.runs.idle import idle
from lab.faults.operator.runs.node_edits import edits_on_nodes
from lab.faults.operator.runs.scale import ANSWER_SECONDS, scale
from lab.faults.operator.runs.sizes import LARGE, USUAL, Size
from lab.faults.operator.runs.stage import Stage
from rtppool_core.process.machine import this_machine

SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Place:
    """The programs, the folder and the options of one part."""

    folder: Path
    programs: Programs
    options: argparse.Namespace


@dataclass(frozen=True, slots=True)
class Part:
    """One run. A part that is not `by_default` runs only when it is named."""

    name: str
    title: str
    run: Callable[[Place], Awaitable[list[Figure]]]
    by_default: bool = True


async def _campaign(rig: Rig, options: argparse.Namespace) -> list[Figure]:
    stage = Stage(rig, random.Random(options.seed), rig.operator())
    chosen = [fault_named(name) for name in options.fault] or FAULTS
    outcome = await campaign(stage, options.seed, options.faults, chosen, say)
    audit = read_audit(rig.server.audit_log.read_text().splitlines())
    say("requests of the operator to the API server:\n  " + "\n  ".join(table(audit)))
    over, lacking = unused(rig.permissions, audit), missing(rig.permissions, audit)
    return [
        *campaign_figures(outcome),
        Figure("requests that no role allows", "; ".join(lacking) or "none", "none", not lacking),
        Figure("rights that this run did not need", "; ".join(over) or "none"),
    ]


async def _idle(rig: Rig, options: argparse.Namespace) -> list[Figure]:
    return await idle(rig, rig.operator(direct=True), options.minutes, say)


async def _exhaustion(rig: Rig, _options: argparse.Namespace) -> list[Figure]:
    return await exhaustion(rig, rig.operator(direct=True), say)


async def _edits(place: Place) -> list[Figure]:
    return await edits_on_nodes(make_tooling(), place.options.edits, random.Random(place.options.seed), say)


def _scale(size: Size) -> Callable[[Place], Awaitable[list[Figure]]]:
    """Measure on an API server of its own, with simulated relays in a process of their own."""

    async def run_there(place: Place) -> list[Figure]:
        chance, remote = random.Random(place.options.seed), RemoteSettings(place.options.seed, ANSWER_SECONDS)
        async with make_rig(place.folder, place.programs, chance, remote=remote) as rig:
            if rig.remote is None:
                raise AssertionError("the relays run in this process")
            return await scale(rig, rig.operator(direct=True), rig.remote, size, chance, say)

    return run_there


def _on_rig(
    run: Callable[[Rig, argparse.Namespace], Awaitable[list[Figure]]],
) -> Callable[[Place], Awaitable[list[Figure]]]:
    """Run on an API server of its own, with simulated relays."""

    async def run_there(place: Place) -> list[Figure]:
        chance = random.Random(place.options.seed)
        async with make_rig(place.folder, place.programs, chance) as rig:
            return await run(rig, place.options)

    return run_there


PARTS = (
    Part("campaign", "Faults of operator, API server, relays and people", _on_rig(_campaign)),
    Part(USUAL.part, USUAL.title, _scale(USUAL)),
    Part(LARGE.part, LARGE.title, _scale(LARGE), by_default=False),
    Part("idle", "An idle pool", _on_rig(_idle)),
    Part("exhaustion", "An operator without descriptors, and beside idle connections", _on_rig(_exhaustion)),
    Part("edits", "Edits of a pool on the nodes of a cluster", _edits, by_default=False),
)


def main(arguments: Sequence[str]) -> int:
    """Run the chosen parts; return the exit code of `run_alone`."""
    options = _parser().parse_args(arguments)
    return run_alone("chaos", lambda: _play(options))


def _play(options: argparse.Namespace) -> int:
    folder = Path(tempfile.mkdtemp(prefix="rtp-pool-operator-"))
    try:
        everything_holds = asyncio.run(_run(options, folder, find_programs()))
    except LabError as error:
        raise LabError(f"{error}\nlogs of the run: {folder}") from error
    if everything_holds:
        shutil.rmtree(folder)
        return 0
    say(f"logs of the run: {folder}")
    return 1


async def _run(options: argparse.Namespace, folder: Path, programs: Programs) -> bool:
    results: dict[str, list[Figure]] = {}
    began = _machine()
    for part in PARTS:
        if part.name not in options.only if options.only else not part.by_default:
            continue
        machine = _machine()
        say(f"{part.title}:")
        results[part.title] = await _part(part, Place(folder / part.name, programs, options))
        if options.publish:
            measured = document(machine, {part.title: results[part.title]})
            PAGE.write_text(replace_part(PAGE.read_text(), f"operator {part.name}", measured))
    place = write(began, results)
    say(f"\n{document(began, results)}\n\nwritten to {place}")
    return all(each.holds is not False for figures in results.values() for each in figures)


async def _part(part: Part, place: Place) -> list[Figure]:
    """Run a part. One that does not converge is a row of the table, and the other parts still run."""
    try:
        return await part.run(place)
    except NotConverged as missed:
        return [Figure(part.name, str(missed), "converges", holds=False)]


def _machine() -> str:
    return f"{machine_line(this_machine())} {SHARED_CORES}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.faults.operator",
        description="The operator on a real API server: random faults, scale, idle pools.",
        epilog="With make: make chaos CHAOS='operator --only scale'",
    )
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="PART",
        help=f"of {', '.join(names)}; {LARGE.part} and edits run only when named, edits on the cluster of `make up`",
    )  # fmt: skip
    parser.add_argument("--faults", type=int, default=100, help="number of faults in the campaign (100)")
    parser.add_argument("--fault", nargs="+", default=[], metavar="NAME", help="only faults of these names")
    parser.add_argument("--seed", type=int, default=SEED, help=f"random seed ({SEED}); the same seed repeats a run")
    parser.add_argument("--edits", type=int, default=60, help="number of edits on the nodes of the cluster (60)")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the idle run (10)")
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/scaling.md")
    return parser

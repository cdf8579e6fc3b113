"""`python -m rtppool_callgen load`: callers call by a plan, the relay is read, and a report is made of both."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from rtppool_callgen.callers.interface import Callers, CallersFailed
from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.load.chart import ChartFacts, load_chart
from rtppool_callgen.load.progress import LoadView, live_view, plain_line, summary
from rtppool_callgen.load.relay_reader import RelayReader
from rtppool_callgen.load.relay_watch import RelayWatch
from rtppool_callgen.load.report import LoadOutcome, LoadReport, load_report
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.process.machine import Machine, load_average, this_machine
from rtppool_core.process.service import Stop

STATUS_SECONDS = 1.0
PLAIN_EVERY_SECONDS = 5.0
# A relay's last calls may take so long to be torn down before they count as its leftovers.
SETTLE_SECONDS = 10.0
# Records that are not read now are calls without a round trip.
LAST_TRIES = 3
REPORT, CHART = "report.json", "chart.svg"


@dataclass(frozen=True, slots=True)
class Load:
    """What to do, and the folder for report and chart."""

    plan: LoadPlan
    output: Path

    @property
    def paths(self) -> tuple[str, str]:
        """Report and chart."""
        return str(self.output / REPORT), str(self.output / CHART)


async def run_load(load: Load, callers: Callers, reader: RelayReader, console: Console, stop: Stop) -> LoadReport:
    """Run, report, draw. What goes wrong on the way is in the report, with all that was seen until then.

    Without a relay that can be read nobody calls.

    Raises:
        OSError: report or chart can't be written.
    """
    load.output.mkdir(parents=True, exist_ok=True)
    machine = this_machine()
    began = time.time()
    watch, tally, settings = RelayWatch(reader, load.plan), Tally(), callers.settings()
    fault: str | None
    try:
        async with reader, callers:
            await watch.look(None)
            fault = watch.trouble
            if fault is None:
                told = f"{load.plan.calls} calls, {load.plan.concurrent} at a time, on {reader.url}"
                console.print(told, markup=False, highlight=False)
                try:
                    began = await _call_and_watch(load, callers, watch, console, stop)
                finally:
                    with suppress(CallersFailed):
                        tally = callers.tally()
                await _settle(watch, began, stop)
    except CallersFailed as failed:
        fault = str(failed)
    outcome = _outcome(load, machine, began, watch, tally, settings, stop, fault)
    report = load_report(outcome)
    _write(load, outcome, report)
    console.print(summary(report, load.paths))
    return report


async def _call_and_watch(load: Load, callers: Callers, watch: RelayWatch, console: Console, stop: Stop) -> float:
    """Until all have called; returns when the first call was placed, as Unix time."""
    calling = asyncio.create_task(callers.call(stop.asked))
    began, shown_at = time.time(), 0.0
    try:
        with Live(console=console, refresh_per_second=4, transient=True, auto_refresh=console.is_terminal) as live:
            while not calling.done():
                tally = callers.tally()
                if tally.placed == 0:
                    # Callers take a moment to begin.
                    began = time.time()
                seconds = time.time() - began
                await watch.look(seconds if tally.placed else None)
                windows = watch.windows.all if watch.windows is not None else ()
                view = LoadView(seconds, tally, windows[-1] if windows else None, watch.trouble)
                if console.is_terminal:
                    live.update(live_view(view, load.plan, watch.facts.url))
                elif seconds - shown_at >= PLAIN_EVERY_SECONDS:
                    shown_at = seconds
                    console.print(plain_line(view, load.plan), markup=False, highlight=False, soft_wrap=True)
                await asyncio.wait({calling}, timeout=max(0.0, seconds + STATUS_SECONDS - (time.time() - began)))
        await calling
        return began
    finally:
        # Something else failed: the calls must not go on unseen.
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


async def _settle(watch: RelayWatch, began: float, stop: Stop) -> None:
    """Let the relay tear down the last calls and judge their last packets, then read what it holds."""
    ended, deadline = time.time(), time.monotonic() + SETTLE_SECONDS
    while not stop.urgent.is_set() and time.monotonic() < deadline:
        await watch.look(time.time() - began)
        if watch.is_idle and watch.judged_up_to >= ended:
            break
        await asyncio.sleep(STATUS_SECONDS)
    for _ in range(LAST_TRIES):
        await watch.look_at_calls()
        if watch.trouble is None:
            return


def _outcome(
    load: Load,
    machine: Machine,
    began: float,
    watch: RelayWatch,
    tally: Tally,
    settings: Mapping[str, str],
    stop: Stop,
    fault: str | None,
) -> LoadOutcome:
    return LoadOutcome(
        plan=load.plan,
        machine=machine,
        load_at_end=load_average(),
        began_unix_seconds=began,
        ended_unix_seconds=time.time(),
        callers=settings,
        relay=watch.facts,
        counts=watch.counts,
        polls=watch.polls(),
        windows=watch.windows.all if watch.windows is not None else (),
        tally=tally,
        records=watch.ledger.counts() if watch.ledger is not None else None,
        interrupted=stop.asked.is_set(),
        fault=fault,
    )


def _write(load: Load, outcome: LoadOutcome, report: LoadReport) -> None:
    machine = outcome.machine
    facts = ChartFacts(
        result=report.verdict.result,
        sentence=report.verdict.sentence,
        subtitle=(
            f"{machine.processor}, {machine.cores} cores, Linux {machine.kernel}, Python {machine.python}; "
            f"{machine.began}; callers: {outcome.callers.get('kind', 'unknown')}"
        ),
        concurrent=load.plan.concurrent,
        total_seconds=load.plan.total_seconds,
        limits=outcome.relay.limits,
    )
    written, drawn = load.paths
    _replace(Path(written), json.dumps(report.document, indent=1) + "\n")
    _replace(Path(drawn), load_chart(outcome.windows, facts))


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a report that is half written looks like another result."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)

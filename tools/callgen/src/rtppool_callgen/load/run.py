"""The run of a load: callers place calls by a plan, the relay is read, and both become a report."""

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
# The time for the teardown of the last calls. Afterwards they count as left behind.
SETTLE_SECONDS = 10.0
# A record that is not read now becomes a call without a round trip.
LAST_READS = 3
REPORT, CHART = "report.json", "chart.svg"


@dataclass(frozen=True, slots=True)
class Load:
    """A plan, and the folder for report and chart."""

    plan: LoadPlan
    output: Path

    @property
    def paths(self) -> tuple[str, str]:
        """The paths of report and chart."""
        return str(self.output / REPORT), str(self.output / CHART)


async def run_load(load: Load, callers: Callers, reader: RelayReader, console: Console, stop: Stop) -> LoadReport:
    """Run a load and write report and chart. A failure becomes part of the report, with all data until then.

    No call is placed when the relay can't be read.

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
            await watch.read(None)
            fault = watch.trouble
            if fault is None:
                line = f"{load.plan.calls} calls, {load.plan.concurrent} concurrent, on {reader.url}"
                console.print(line, markup=False, highlight=False)
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
    """Run the plan and show its progress. Returns the Unix time of the first call."""
    calling = asyncio.create_task(callers.call(stop.asked))
    began, shown_at = time.time(), 0.0
    try:
        with Live(console=console, refresh_per_second=4, transient=True, auto_refresh=console.is_terminal) as live:
            while not calling.done():
                tally = callers.tally()
                if tally.placed == 0:
                    # The callers are still starting.
                    began = time.time()
                seconds = time.time() - began
                await watch.read(seconds if tally.placed else None)
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
        # After another failure no call may continue unobserved.
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


async def _settle(watch: RelayWatch, began: float, stop: Stop) -> None:
    """Wait until the relay has torn down the last calls and judged their packets, then read its records."""
    ended, deadline = time.time(), time.monotonic() + SETTLE_SECONDS
    while not stop.urgent.is_set() and time.monotonic() < deadline:
        await watch.read(time.time() - began)
        if watch.is_idle and watch.judged_up_to >= ended:
            break
        await asyncio.sleep(STATUS_SECONDS)
    for _ in range(LAST_READS):
        await watch.read_calls()
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
    """Write a file as a whole: a partial report could pass for another result."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)

"""`python -m rtppool_callgen load`: callers call by a plan, the relay is read, and a report is made of both."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from rtppool_callgen.call_ledger import CallLedger
from rtppool_callgen.call_tally import Tally
from rtppool_callgen.callers import Callers, CallersFailed
from rtppool_callgen.load_chart import ChartFacts, load_chart
from rtppool_callgen.load_plan import LoadPlan
from rtppool_callgen.load_progress import LoadView, live_view, plain_line, summary
from rtppool_callgen.load_report import LoadOutcome, LoadReport, Polls, RelayFacts, load_report
from rtppool_callgen.load_windows import ImpossibleFigureError, LoadWindows, possible
from rtppool_callgen.relay_counts import RelayCounts
from rtppool_callgen.relay_reader import RelayReader, RelayUnreadable
from rtppool_core.contract import ContractError, from_json, to_json
from rtppool_core.histogram import SchemeError
from rtppool_core.machine import Machine, load_average, this_machine
from rtppool_core.pool_config import SlaLimits
from rtppool_core.service import Stop

STATUS_SECONDS = 1.0
PLAIN_EVERY_SECONDS = 5.0
# A relay's last calls may take so long to be torn down before they count as its leftovers.
SETTLE_SECONDS = 10.0
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


class Watch:
    """All that is read of the relay while callers call."""

    def __init__(self, reader: RelayReader, plan: LoadPlan) -> None:
        self.counts = RelayCounts()
        self.ledger: CallLedger | None = None
        self.facts = RelayFacts(reader.url)
        self.windows: LoadWindows | None = None
        self.trouble: str | None = None
        self._reader = reader
        self._calls_every_seconds = plan.calls_poll_seconds
        self._calls_read_at = float("-inf")
        self._read = 0
        self._missed: Counter[str] = Counter()

    def polls(self) -> Polls:
        """How often it was read, and what was said when it could not be."""
        return Polls(self._read, dict(self._missed))

    @property
    def is_idle(self) -> bool:
        """At the last reading there were no more calls than before the load."""
        return self.counts.active is not None and self.counts.active <= (self.counts.active_before or 0)

    @property
    def judged_up_to(self) -> float:
        """The Unix second at which the last window ends."""
        windows = self.windows.all if self.windows is not None else ()
        return windows[-1].end_unix_seconds if windows else 0.0

    async def look(self, at_seconds: float | None) -> None:
        """Read what is due. `at_seconds` since the load began; None: no window is taken. A miss is counted."""
        try:
            await self._look(at_seconds)
        except RelayUnreadable as unreadable:
            self.trouble = str(unreadable)
            self._missed[self.trouble] += 1
        else:
            self.trouble = None
            self._read += 1

    async def look_at_calls(self) -> None:
        """Read the last records now."""
        self._calls_read_at = float("-inf")
        await self.look(None)

    async def _look(self, at_seconds: float | None) -> None:
        report, status = await self._reader.status()
        self.counts.add(status)
        if self.windows is None:
            await self._first_look(status)
        if self.windows is not None and at_seconds is not None:
            try:
                self.windows.add(report, at_seconds, int(time.time()))
            except (SchemeError, ImpossibleFigureError) as error:
                raise RelayUnreadable(f"{self._reader.url}/status has a window that can't be read: {error}") from error
        if time.monotonic() - self._calls_read_at >= self._calls_every_seconds:
            await self._read_calls()

    async def _first_look(self, status: Mapping[str, Any]) -> None:
        told = (await self._reader.document("/sla")).get("limits")
        try:
            limits = from_json(SlaLimits, told)
            possible((limits.max_rtt_microseconds, limits.max_late_ppm, limits.max_loss_ppm), "limits")
            for tier in limits.tiers:
                possible(astuple(tier), "a tier")
        except (ContractError, ImpossibleFigureError) as error:
            raise RelayUnreadable(f"{self._reader.url}/sla has limits that can't be read: {error}") from error
        self.windows = LoadWindows(limits.tiers)
        self.facts = RelayFacts(
            url=self._reader.url,
            node=status.get("node"),
            software_version=status.get("softwareVersion"),
            port_range=status.get("ports", {}).get("range"),
            stamps=status.get("clock", {}).get("stamps"),
            limits=to_json(limits),
        )

    async def _read_calls(self) -> None:
        document = await self._reader.document("/calls")
        self._calls_read_at = time.monotonic()
        if self.ledger is None:
            self.ledger = CallLedger(document)
        else:
            self.ledger.add(document)


async def run_load(load: Load, callers: Callers, reader: RelayReader, console: Console, stop: Stop) -> LoadReport:
    """Run, report, draw. What goes wrong on the way is in the report, with all that was seen until then.

    Without a relay that can be read nobody calls.

    Raises:
        OSError: report or chart can't be written.
    """
    load.output.mkdir(parents=True, exist_ok=True)
    machine = this_machine()
    began = time.time()
    watch, tally, settings = Watch(reader, load.plan), Tally(), callers.settings()
    fault: str | None
    try:
        async with reader, callers:
            await watch.look(None)
            if watch.trouble is None:
                told = f"{load.plan.calls} calls, {load.plan.concurrent} at a time, on {reader.url}"
                console.print(told, markup=False, highlight=False)
                try:
                    began = await _call_and_watch(load, callers, watch, console, stop)
                finally:
                    with suppress(CallersFailed):
                        tally = callers.tally()
                await _settle(watch, began, stop)
            fault = watch.trouble
    except CallersFailed as failed:
        fault = str(failed)
    outcome = _outcome(load, machine, began, watch, tally, settings, stop, fault)
    report = load_report(outcome)
    _write(load, outcome, report)
    console.print(summary(report, load.paths))
    return report


async def _call_and_watch(load: Load, callers: Callers, watch: Watch, console: Console, stop: Stop) -> float:
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


async def _settle(watch: Watch, began: float, stop: Stop) -> None:
    """Let the relay tear down the last calls and judge their last packets, then read what it holds."""
    ended = time.time()
    while not stop.hurry.is_set() and time.time() < ended + SETTLE_SECONDS:
        await watch.look(time.time() - began)
        if watch.is_idle and watch.judged_up_to >= ended:
            break
        await asyncio.sleep(STATUS_SECONDS)
    await watch.look_at_calls()


def _outcome(
    load: Load,
    machine: Machine,
    began: float,
    watch: Watch,
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

"""The causes that the relay shows against known ones: stopped processes, a CPU quota, and real-time threads of others.

For each cause, the relay's count of a disturbed stretch, less that of the machine's own late packets, is compared with
the true count. These are as many as lie in no known stall, with the causes that the quiet stretch before has. The error
is a share of all late packets. A run whose own log does not show the planned stalls of the host is void, and is
repeated.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from lab.bench.causes import trials
from lab.bench.causes.plan import Means
from lab.bench.causes.stage import Observation, Scenario, Stretch
from lab.bench.causes.trials import Judgement, choose, run_until_valid
from lab.bench.causes.truth import Cause
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from rtppool_core.units import NS_PER_MS, NS_PER_SECOND

MIN_KNOWN_LATE = 500
MAX_ERROR_PER_CENT = 5.0
MAX_THROTTLED_ERROR_PER_CENT = 10.0
# Of the stalls that were planned for the host, its log must have at least this share.
MIN_SHOWN_SHARE = 0.9
# A machine that is not quiet in the quiet stretch makes late packets of its own in the other one.
MAX_QUIET_SHARE = 0.1

SCENARIOS = (
    Scenario("source stopped", stopped=(Cause.SOURCE,)),
    Scenario("media process stopped", stopped=(Cause.RELAY,)),
    Scenario("echo stopped", stopped=(Cause.ECHO,)),
    Scenario("source, media process and echo stopped", stopped=(Cause.SOURCE, Cause.RELAY, Cause.ECHO)),
    Scenario("processors taken", host=Means.SPIN),
    Scenario("processors taken for 4 to 6 ms", host=Means.SPIN, short=True),
    Scenario("processors taken, source stopped", stopped=(Cause.SOURCE,), host=Means.SPIN),
    Scenario("processors taken, media process stopped", stopped=(Cause.RELAY,), host=Means.SPIN),
    Scenario("processors taken, echo stopped", stopped=(Cause.ECHO,), host=Means.SPIN),
    Scenario("quota", fair=True, host=Means.BURN),
    Scenario("quota, source stopped", fair=True, stopped=(Cause.SOURCE,), host=Means.BURN),
    Scenario("quota, media process stopped", fair=True, stopped=(Cause.RELAY,), host=Means.BURN),
    Scenario("quota, echo stopped", fair=True, stopped=(Cause.ECHO,), host=Means.BURN),
)


def estimated_seconds(session: Session) -> float:
    """Return the duration of all scenarios, none void."""
    return trials.estimated_seconds(session, SCENARIOS)


async def run(session: Session) -> Result:
    """Run each chosen scenario until one run of it is not void."""
    figures: list[Figure] = []
    raw = {}
    for scenario in choose(session, SCENARIOS):
        trial = await run_until_valid(session, scenario, Judgement(void_reason, _line, _raw))
        raw[scenario.name] = trial.notes
        if trial.observation is not None:
            figures += figures_of(scenario.name, trial.observation)
        else:
            title = f"{scenario.name}: late packets of known cause"
            figures.append(Figure(title, [], "packets", note=f"void: {trial.void}"))
    return Result(figures, raw)


def figures_of(name: str, observation: Observation) -> list[Figure]:
    """Return the errors of a run by cause, and those of its throttled time."""
    disturbed = observation.disturbed
    truth, shown = disturbed.truth, disturbed.shown
    known = sum(truth.known.values())
    figures = [
        Figure(f"{name}: late packets of known cause", [known], "packets", note=_counts(truth.known)),
        Figure(f"{name}: steal", [disturbed.steal_per_cent], "%"),
    ]
    for cause in Cause:
        title = f"{name}: {cause}, |shown - true| of all late packets"
        if cause not in shown.late:
            figures.append(Figure(title, [], "%", MAX_ERROR_PER_CENT, note="the relay does not show this cause"))
            continue
        count = shown.late[cause] - _of_machine(observation, cause)
        error = 100 * abs(count - truth.known[cause]) / max(1, truth.late)
        note = f"{count} shown, {truth.known[cause]} true"
        figures.append(Figure(title, [error], "%", MAX_ERROR_PER_CENT, note=note))
    return figures + _beside(name, disturbed) + _throttled(name, observation)


def _of_machine(observation: Observation, cause: Cause) -> int:
    """Return the machine's own late packets with a cause in the disturbed stretch."""
    quiet = observation.quiet.shown.late
    return round(observation.disturbed.truth.unknown * quiet[cause] / max(1, sum(quiet.values())))


def void_reason(observation: Observation) -> str:
    """Return why a run proves nothing; empty when it does."""
    disturbed, planned = observation.disturbed, observation.planned
    known = sum(disturbed.truth.known.values())
    if known < MIN_KNOWN_LATE:
        return f"{known} late packets of known cause, {MIN_KNOWN_LATE} are needed"
    if observation.quiet.truth.late > MAX_QUIET_SHARE * known:
        return f"{observation.quiet.truth.late} late packets in the quiet stretch, {known} of known cause in the other"
    if not planned:
        return ""
    if disturbed.throttling is None:
        planned_ns, found_ns = sum(each.length_ns for each in planned), observation.log.host().total_ns
        if found_ns < MIN_SHOWN_SHARE * planned_ns:
            return f"{found_ns / NS_PER_MS:.0f} ms of stalls in the log, {planned_ns / NS_PER_MS:.0f} ms were planned"
    elif disturbed.throttling.throttled_periods < MIN_SHOWN_SHARE * len(planned):
        return f"{disturbed.throttling.throttled_periods} periods throttled, {len(planned)} were planned"
    return ""


def _throttled(name: str, observation: Observation) -> list[Figure]:
    disturbed = observation.disturbed
    if disturbed.throttling is None:
        return []
    true_seconds = disturbed.throttling.throttled_ns / NS_PER_SECOND
    title = f"{name}: throttled time, |shown - true|"
    shown_seconds = disturbed.shown.host_seconds.get("throttled")
    if shown_seconds is None:
        missing = "the relay does not show it"
        return [Figure(title, [], "%", MAX_THROTTLED_ERROR_PER_CENT, note=missing)]
    error = 100 * abs(shown_seconds - true_seconds) / true_seconds
    note = f"{shown_seconds:.2f} s shown, {true_seconds:.2f} s in cpu.stat"
    figures = [Figure(title, [error], "%", MAX_THROTTLED_ERROR_PER_CENT, note=note)]
    of_host = disturbed.truth.known[Cause.HOST]
    if Cause.HOST in disturbed.shown.late and of_host:
        share = 100 * max(0, of_host - disturbed.shown.late[Cause.HOST]) / of_host
        title = f"{name}: late packets in throttled time that are not shown as host"
        figures.append(Figure(title, [share], "%", MAX_ERROR_PER_CENT))
    return figures


def _beside(name: str, stretch: Stretch) -> list[Figure]:
    ours = 100 * stretch.truth.late / max(1, stretch.packets)
    beside = 100 * stretch.late_beside / max(1, stretch.packets_beside)
    return [Figure(f"{name}: late through our relay", [ours], "%"), Figure(f"{name}: late through C", [beside], "%")]


def _counts(by_cause: dict[Cause, int]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in by_cause.items() if count)


def _line(observation: Observation) -> str:
    quiet, disturbed = observation.quiet, observation.disturbed
    return (
        f"true {_counts(disturbed.truth.known)}, {disturbed.truth.unknown} unknown; "
        f"shown {_counts(disturbed.shown.late)}; quiet: {_counts(quiet.shown.late) or 'none'} of "
        f"{quiet.truth.late} late; steal {disturbed.steal_per_cent:.1f} %"
    )


def _raw(observation: Observation) -> dict[str, Any]:
    return {
        "quiet": dataclasses.asdict(observation.quiet),
        "disturbed": dataclasses.asdict(observation.disturbed),
        "hostStallMs": observation.log.host().total_ns / NS_PER_MS,
        "plannedHostStalls": len(observation.planned),
    }

"""Lateness that is not the host's, on a busy machine: an overloaded relay, and a slow echo under constant stalls."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from lab.bench.causes import trials
from lab.bench.causes.plan import Means
from lab.bench.causes.stage import Hold, Observation, Scenario, Stretch
from lab.bench.causes.trials import Judgement, choose, run_until_valid
from lab.bench.causes.truth import Cause
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session

MIN_LATE = 500
MAX_OTHERS_PER_CENT = 5.0
MAX_STEAL_PER_CENT = 1.0
# Two sends a packet, 50 packets a second: a third of the time that 100 calls need.
CALLS, SLOW_SEND_US = 100, 300
# Without a slower send, about three times the calls that a media process of this design forwards on one processor. It
# has one to itself: what the load and the echo of so many calls take from it is truly not the relay's.
MANY_CALLS = 1500
HALF_A_SECOND = Hold(usual_us=200, slow_ppm=100_000, slow_us=500_000)

# Each with the cause of its late packets.
SCENARIOS = {
    Scenario("slow relay, three times its capacity, real-time", calls=CALLS, slow_send_us=SLOW_SEND_US): Cause.RELAY,
    Scenario(
        "slow relay, three times its capacity, fair", fair=True, calls=CALLS, slow_send_us=SLOW_SEND_US
    ): Cause.RELAY,
    Scenario("many calls, three times the capacity, real-time", calls=MANY_CALLS, apart=True): Cause.RELAY,
    Scenario("many calls, three times the capacity, fair", fair=True, calls=MANY_CALLS, apart=True): Cause.RELAY,
    Scenario(
        "echo of 500 ms, processors taken for 2 of 10 ms", host=Means.SPIN, constant=True, hold=HALF_A_SECOND
    ): Cause.ECHO,
}


def estimated_seconds(session: Session) -> float:
    """Return the duration of all scenarios, none void."""
    return trials.estimated_seconds(session, SCENARIOS)


async def run(session: Session) -> Result:
    """Run each chosen scenario until one run of it is not void."""
    figures: list[Figure] = []
    raw = {}
    for scenario in choose(session, SCENARIOS):
        judgement = Judgement(partial(void_reason, SCENARIOS[scenario]), _observation_line, _raw)
        trial = await run_until_valid(session, scenario, judgement)
        raw[scenario.name] = trial.notes
        if trial.observation is not None:
            figures += figures_of(scenario.name, SCENARIOS[scenario], trial.observation)
        else:
            figures.append(Figure(f"{scenario.name}: late packets", [], "packets", note=f"void: {trial.void}"))
    return Result(figures, raw)


def figures_of(name: str, cause: Cause, observation: Observation) -> list[Figure]:
    """Return how many late packets have another cause than the one that is known."""
    shown = late_by_cause(observation)
    judged = judged_total(shown)
    others = 100 * (judged - shown[cause]) / judged
    steal = max(observation.quiet.steal_per_cent, observation.disturbed.steal_per_cent)
    return [
        Figure(f"{name}: late packets", [judged], "packets", note=_line(shown)),
        Figure(f"{name}: late packets not shown as {cause}", [others], "%", MAX_OTHERS_PER_CENT),
        Figure(f"{name}: steal", [steal], "%", note=_host_line(observation)),
    ]


def late_by_cause(observation: Observation) -> Counter[Cause]:
    """Return the shown late packets of the disturbed stretch, and of both where nothing disturbs."""
    return _sum(each.shown.late for each in _judged_stretches(observation))


def truly_late_by_cause(observation: Observation) -> Counter[Cause]:
    """Return the late packets of the same stretches by their true cause."""
    return _sum(each.truth.largest for each in _judged_stretches(observation))


def judged_total(shown: Counter[Cause]) -> int:
    """Return the late packets that the relay had in time. A load of many calls is late itself."""
    return shown.total() - shown[Cause.SOURCE]


def void_reason(cause: Cause, observation: Observation) -> str:
    """Return why a run proves nothing; empty when it does. The load may overload the echo as well as the relay."""
    late = judged_total(late_by_cause(observation))
    if late < MIN_LATE:
        return f"{late} late packets, {MIN_LATE} are needed"
    true = truly_late_by_cause(observation)
    if 100 * true[cause] < (100 - MAX_OTHERS_PER_CENT) * judged_total(true):
        return f"the true causes are {_line(true)}"
    steal = max(observation.quiet.steal_per_cent, observation.disturbed.steal_per_cent)
    return f"steal {steal:.1f} %" if steal >= MAX_STEAL_PER_CENT else ""


def _judged_stretches(observation: Observation) -> list[Stretch]:
    return [observation.disturbed] if observation.planned else [observation.quiet, observation.disturbed]


def _sum(counts: Iterable[Mapping[Cause, int]]) -> Counter[Cause]:
    found: Counter[Cause] = Counter()
    for each in counts:
        found.update(each)
    return found


def _observation_line(observation: Observation) -> str:
    return f"{_line(late_by_cause(observation))}; steal {observation.disturbed.steal_per_cent:.1f} %"


def _line(shown: Counter[Cause]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in shown.items() if count) or "none late"


def _host_line(observation: Observation) -> str:
    seconds = observation.disturbed.shown.host_seconds
    return ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())


def _raw(observation: Observation) -> dict[str, Any]:
    return {"quiet": dataclasses.asdict(observation.quiet), "disturbed": dataclasses.asdict(observation.disturbed)}

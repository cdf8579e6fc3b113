"""The age of the live page's figures: the time from a change of the echo leg until the stream of events shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from lab.base.waiting import wait_until
from lab.bench.load.load_generator import load_generator
from lab.bench.load.shown import Shown, following
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from lab.bench.subjects.bending_echo import BendingEcho, bending_echo
from lab.bench.subjects.own import own_relay, pool_with
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.units import NS_PER_SECOND, NS_PER_US

# A busy machine delays some of the 1,000 packets of a second, but not a fifth of them.
CALLS, MANY_LATE = 20, 200
WINDOW_SECONDS = 10
DELAY_SECONDS = 0.02
DELAYED_US = DELAY_SECONDS * NS_PER_SECOND / NS_PER_US / 2
# The machine's own late packets must not decide the verdict: only the delay, and only by its late packets.
LIMITS = SlaLimits(
    max_late_ppm=50_000,
    max_loss_ppm=1_000_000,
    tiers=(),
    window_seconds=WINDOW_SECONDS,
    max_rtt_microseconds=60_000_000,
)
MAX_SECONDS, MAX_LOSS_SECONDS, MAX_VERDICT_SECONDS = 2.0, 4.0, 8.0
# For a figure that does not come, and of a round.
WITHIN_SECONDS, ROUND_SECONDS, SECONDS_AROUND = 60.0, 45.0, 30.0
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds from the begin of a delay, its end, and the begin of loss until the stream shows them."""

    round_trip: float
    late: float
    violated: float
    recovered: float
    loss: float


def estimated_seconds(session: Session) -> float:
    """Return the duration of all rounds, without a warm-up."""
    return session.rounds * ROUND_SECONDS + SECONDS_AROUND


async def run(session: Session) -> Result:
    """Delay and silence the echo in each round."""
    pools = pool_with(session.folder, CALLS, LIMITS)
    async with (
        bending_echo() as echo,
        load_generator(session.programs.load, session.folder, CALLS, 2 * estimated_seconds(session)) as generator,
        own_relay(generator.ports, session.folder, {"POOL_CONFIG": str(pools)}) as relay,
        following(relay.http) as shown,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        rounds = []
        for number in range(session.rounds):
            session.say(f"round {number + 1} of {session.rounds}")
            rounds.append(await _round(echo, shown))
        generator.stop()
        await generator.until_sent()
        await generator.result()
    return Result(figures_of(rounds))


async def _round(echo: BendingEcho, shown: Shown) -> Ages:
    await _shows("the verdict Met", lambda: shown.verdict == "Met" and shown.figure("lost") == 0)
    await _shows("a second in time", lambda: shown.figure("late_echo") < MANY_LATE)
    echo.delay_seconds = DELAY_SECONDS
    round_trip, late, violated = await asyncio.gather(
        _shows("the delay in the median round trip", lambda: shown.figure("p50") > DELAYED_US),
        _shows("packets that are late by the echo", lambda: shown.figure("late_echo") >= MANY_LATE),
        _shows("the verdict Violated", lambda: shown.verdict == "Violated"),
    )
    echo.delay_seconds = 0.0
    recovered = await _shows("the verdict Met again", lambda: shown.verdict == "Met")
    echo.is_silent = True
    loss = await _shows("lost packets", lambda: shown.figure("lost") > 0)
    echo.is_silent = False
    return Ages(round_trip, late, violated, recovered, loss)


async def _shows(what: str, is_shown: Callable[[], bool]) -> float:
    return await wait_until(what, is_shown, WITHIN_SECONDS, poll_seconds=POLL_SECONDS)


def figures_of(rounds: list[Ages]) -> list[Figure]:
    """Return the ages round by round."""
    title = f"page, {CALLS} calls: seconds until it shows"
    return [
        Figure(f"{title} {what}", [getattr(each, name) for each in rounds], "s", target)
        for name, what, target in (
            ("round_trip", "a delay in the round trip", MAX_SECONDS),
            ("late", "late packets of the echo", MAX_SECONDS),
            ("loss", "lost packets", MAX_LOSS_SECONDS),
            ("violated", "the verdict of a delay", MAX_VERDICT_SECONDS),
            ("recovered", f"the recovery, window {WINDOW_SECONDS} s", WINDOW_SECONDS + MAX_VERDICT_SECONDS),
        )
    ]

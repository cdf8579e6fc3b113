"""The cost of directional loss: the header extension between relay and echo, on and off."""

from __future__ import annotations

from dataclasses import dataclass

from lab.base.proc import cpu_ns
from lab.bench.load.load import Load, quantile
from lab.bench.load.load_generator import load_generator
from lab.bench.measure.interleaved import interleaved
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.session import Session
from lab.bench.subjects.echoes import own_echo_pids
from lab.bench.subjects.own import own_relay

CALLS = 100
ON, OFF = "extension on", "extension off"
SECONDS_AROUND = 8.0
NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class Round:
    """CPU time in µs: of relay processes per forwarded packet, of the echo per echoed packet."""

    load: Load
    media_us: float
    control_us: float
    echo_us: float


def estimated_seconds(session: Session) -> float:
    """Return the duration of all rounds."""
    return (session.rounds + 1) * 2 * (session.seconds + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Measure interleaved rounds with our own echo."""
    found = await interleaved(session, [OFF, ON], lambda name: _round(session, on=name == ON))
    media = {name: [each.media_us for each in rounds] for name, rounds in found.items()}
    echo = {name: [each.echo_us for each in rounds] for name, rounds in found.items()}
    figures = [
        Figure("header extension: CPU per packet of the media process ÷ without", ratios(media[ON], media[OFF])),
        Figure("header extension: CPU per packet of the echo ÷ without", ratios(echo[ON], echo[OFF])),
    ]
    for name, rounds in found.items():
        figures.append(Figure(f"{name}: media process", media[name], "µs"))
        figures.append(Figure(f"{name}: control process", [each.control_us for each in rounds], "µs"))
        figures.append(Figure(f"{name}: echo", echo[name], "µs"))
        p50 = [quantile(each.load.round_trips_ns(from_schedule=True), 500) / NS_PER_US for each in rounds]
        figures.append(Figure(f"{name}: p50 at {CALLS} calls", p50, "µs"))
        figures.append(Figure(f"{name}: lost", [each.load.lost for each in rounds], "packets", 0, "worst", breaks=True))
    return Result(figures)


async def _round(session: Session, *, on: bool) -> Round:
    async with (
        own_echo_pids(session.folder) as echo_pids,
        load_generator(session.programs.load, session.folder, CALLS, session.seconds) as generator,
        own_relay(generator.ports, session.folder, {"ECHO_EXTENSION": "true" if on else "false"}) as relay,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        before = [cpu_ns(pids) for pids in (relay.media_pids(), [relay.control_pid], echo_pids())]
        await generator.until_sent()
        after = [cpu_ns(pids) for pids in (relay.media_pids(), [relay.control_pid], echo_pids())]
        load = await generator.result()
    media, control, echo = (
        (end - begin) / NS_PER_US / max(1, load.returned) for begin, end in zip(before, after, strict=True)
    )
    return Round(load, media / 2, control / 2, echo)

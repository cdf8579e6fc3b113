"""CPU time per packet at 100 calls: our media process and our whole relay against every other available relay.

All have the same scheduling. The relay in C runs once more with the kernel's slices: the difference is their cost.
"""

from __future__ import annotations

from typing import Any

from lab.bench.load.load import quantile
from lab.bench.load.traffic import NS_PER_US, Traffic, through
from lab.bench.measure.interleaved import interleaved
from lab.bench.results.figures import Figure, Result, ratios
from lab.bench.session import Session
from lab.bench.subjects.relays import C_OF_LONG_SLICES, GO, OURS, RTPENGINE, C, c_relay_of_long_slices, relays

CALLS = 100
SECONDS_AROUND = 7.0  # start, warm-up, last answers
ABSENCE_REASONS = {RTPENGINE: "rtpengine is not installed", GO: "go is not installed"}


def estimated_seconds(session: Session) -> float:
    """Return the duration of all rounds."""
    return (session.rounds + 1) * (len(relays(session)) + 1) * (session.seconds + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Measure interleaved rounds of every relay."""
    starts = {**relays(session), C_OF_LONG_SLICES: c_relay_of_long_slices(session)}
    found = await interleaved(
        session, list(starts), lambda name: through(session, starts[name], CALLS, session.seconds)
    )
    media = [traffic.cpu_us_per_packet["media"] for traffic in found[OURS]]
    whole = [traffic.whole for traffic in found[OURS]]
    figures = [
        Figure(f"CPU per packet, {CALLS} calls: media process ÷ C epoll relay", _against(media, found, C), target=1.15),
        Figure(f"CPU per packet, {CALLS} calls: whole relay ÷ C epoll relay", _against(whole, found, C), target=1.3),
        _other(media, found, RTPENGINE, 0.7),
        _other(media, found, GO, 0.58),
    ]
    short, long = ([traffic.whole for traffic in found[name]] for name in (C, C_OF_LONG_SLICES))
    figures += [
        Figure(
            f"CPU per packet, {CALLS} calls: C epoll relay with short ÷ with the kernel's slices", ratios(short, long)
        ),
        Figure(f"CPU per packet, {CALLS} calls: media process ÷ {C_OF_LONG_SLICES}", ratios(media, long)),
    ]
    control = [traffic.cpu_us_per_packet["control"] for traffic in found[OURS]]
    figures += [
        Figure(f"CPU per packet, {CALLS} calls: control process ÷ media process", ratios(control, media), target=0.1),
        Figure("CPU per packet: our media process", media, "µs"),
        Figure("CPU per packet: our control process", control, "µs"),
        Figure(
            f"memory (RSS), {CALLS} calls: our media process",
            [max(traffic.resident_mib["media"]) for traffic in found[OURS]],
            "MiB",
            target=40,
        ),
        Figure(
            f"memory (RSS), {CALLS} calls: all processes of our relay",
            [traffic.whole_resident_mib for traffic in found[OURS]],
            "MiB",
            target=160,
        ),
    ]
    for name, rounds in found.items():
        if name != OURS:
            figures.append(Figure(f"CPU per packet: {name}", [traffic.whole for traffic in rounds], "µs"))
        figures.extend(_round_trips(name, rounds))
        figures.append(
            Figure(
                f"lost at {CALLS} calls: {name}",
                [traffic.load.lost for traffic in rounds],
                "packets",
                breaks=name == OURS,
                target=0,
                judged_by="worst",
            )
        )
    return Result(figures, {name: [_raw(traffic) for traffic in rounds] for name, rounds in found.items()})


def _against(ours: list[float], found: dict[str, list[Traffic]], name: str) -> list[float]:
    return ratios(ours, [traffic.whole for traffic in found[name]])


def _other(media: list[float], found: dict[str, list[Traffic]], name: str, target: float) -> Figure:
    title = f"CPU per packet, {CALLS} calls: media process ÷ {name}"
    if name not in found:
        return Figure(title, [], target=target, note=ABSENCE_REASONS[name])
    return Figure(title, _against(media, found, name), target=target)


def _round_trips(name: str, rounds: list[Traffic]) -> list[Figure]:
    trips = [traffic.load.round_trips_ns(from_schedule=True) for traffic in rounds]
    return [
        Figure(
            f"p{per_mille // 10} at {CALLS} calls: {name}",
            [quantile(each, per_mille) / NS_PER_US for each in trips],
            "µs",
        )
        for per_mille in (500, 990)
    ]


def _raw(traffic: Traffic) -> dict[str, Any]:
    load = traffic.load
    return {
        "cpuMicrosecondsPerPacket": traffic.cpu_us_per_packet,
        "residentMebibytes": traffic.resident_mib,
        "sent": load.sent,
        "returned": load.returned,
        "lostByCall": load.lost_by_call(),
        "generatorOverflows": load.overflows,
    }

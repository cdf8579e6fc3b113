"""The truth of our figures: quantiles of the relay against the kernel stamps of an echo that delays packets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.base.errors import LabError
from lab.bench.causes.timelines import Records, read_records
from lab.bench.load.load import Nanoseconds, quantile
from lab.bench.load.load_generator import SEED, load_generator
from lab.bench.load.streams import stream_of
from lab.bench.places import ECHO_PORT
from lab.bench.programs.reference_process import running
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from lab.bench.subjects.own import own_relay
from rtppool_core.contract.codec import from_json
from rtppool_core.contract.report import HistogramExport, import_histogram

CALLS = 20
SECONDS = 20.0
# After this time the load's last slice is closed, and the window of 60 s still holds its first.
CLOSES_SECONDS = 6.0
SECONDS_AROUND = 14.0
NS_PER_US = 1000
QUANTILES = {500: "p50", 950: "p95", 990: "p99"}
TOLERANCE_SHARE, TOLERANCE_US = 0.01, 50.0


@dataclass(frozen=True, slots=True)
class Round:
    """Errors of the window and of the worst call as shares of the tolerance (1 is the limit); raw figures in µs."""

    window: dict[str, float]
    worst_call: dict[str, float]
    raw: dict[str, Any]


def estimated_seconds(session: Session) -> float:
    """Return the duration of all rounds, without a warm-up."""
    return session.rounds * (SECONDS + SECONDS_AROUND)


async def run(session: Session) -> Result:
    """Measure rounds with different seeds: other delays, SSRCs and sequence numbers."""
    rounds = []
    for number in range(session.rounds):
        session.say(f"round {number + 1} of {session.rounds}")
        rounds.append(await _round(session, SEED + number))
    names = (*QUANTILES.values(), "max")
    figures = []
    for name in names:
        allowed = "50 µs + departure error" if name == "max" else "max(1 %, 50 µs)"
        for label, errors in (
            ("window", [each.window[name] for each in rounds]),
            ("worst call", [each.worst_call[name] for each in rounds]),
        ):
            figures.append(Figure(f"truth: {name} of the {label}, error ÷ {allowed}", errors, target=1.0))
    return Result(figures, {"rounds": [each.raw for each in rounds]})


async def _round(session: Session, seed: int) -> Round:
    records_file = session.folder / "reflector.records"
    async with (
        running(session.programs.reflector, ECHO_PORT, seed, records_file) as reflector,
        load_generator(session.programs.load, session.folder, CALLS, SECONDS, 0.1, seed) as generator,
    ):
        await reflector.expect("ready")
        async with own_relay(generator.ports, session.folder) as relay:
            await generator.connect(relay.peers)
            await generator.until_warm()
            await generator.until_sent()
            await generator.result()
            await asyncio.sleep(CLOSES_SECONDS)
            status, calls = await relay.get("/status"), await relay.get("/calls")
        reflector.close_input()
        summary = await reflector.json()
    if summary["unstamped"]:
        raise LabError(
            f"the kernel did not stamp {summary['unstamped']} of {summary['sent']} departures of the reflector"
        )
    return _compare(seed, relay.peers, status, calls, read_records(records_file))


def _compare(seed: int, peers: list[int], status: dict[str, Any], calls: dict[str, Any], records: Records) -> Round:
    truth = {call: _held_ns(records, stream_of(seed, call).ssrc) for call in range(len(peers))}
    all_calls = np.sort(np.concatenate(list(truth.values())))
    window = status["windows"]["calls"]
    if window["answered"] != all_calls.size:
        raise LabError(f"/status counts {window['answered']} answers, the reflector sent {all_calls.size}")
    export = from_json(HistogramExport, window["roundTrip"], "roundTrip")
    histogram = import_histogram(export)
    reported = {name: (histogram.quantile_ns(mille) or 0) / NS_PER_US for mille, name in QUANTILES.items()}
    reported["max"] = export.max_ns / NS_PER_US
    departure_us = status["clock"].get("departureError", {}).get("maxNs", 0) / NS_PER_US
    by_call = {}
    for record in calls["live"]:
        figures = record["figures"]
        held_ns = truth[peers.index(record["port"])]
        if figures["answered"] != held_ns.size:
            raise LabError(f"/calls counts {figures['answered']} answers, the reflector sent {held_ns.size}")
        reported_of_call = {name: figures[f"{name}Microseconds"] for name in (*QUANTILES.values(), "max")}
        by_call[record["port"]] = _errors(reported_of_call, held_ns, departure_us)
    worst = {name: max(errors[name] for errors in by_call.values()) for name in reported}
    raw = {
        "calls": {str(port): errors for port, errors in by_call.items()},
        "windowMicroseconds": reported,
        "truthMicroseconds": _exact(all_calls),
        "departureErrorMicroseconds": departure_us,
        "packets": int(all_calls.size),
    }
    return Round(_errors(reported, all_calls, departure_us), worst, raw)


def _held_ns(records: Records, ssrc: int) -> Nanoseconds:
    own = records[records["ssrc"] == ssrc]
    return np.sort(own["departed_ns"] - own["arrived_ns"])


def _exact(ordered: Nanoseconds) -> dict[str, float]:
    exact = {name: quantile(ordered, mille) / NS_PER_US for mille, name in QUANTILES.items()}
    return exact | {"max": float(ordered[-1]) / NS_PER_US}


def _errors(reported: dict[str, float], ordered: Nanoseconds, departure_us: float) -> dict[str, float]:
    exact = _exact(ordered)
    allowed = {name: max(TOLERANCE_SHARE * exact[name], TOLERANCE_US) for name in QUANTILES.values()}
    allowed["max"] = TOLERANCE_US + departure_us
    return {name: abs(reported[name] - exact[name]) / allowed[name] for name in exact}

"""400 calls on one media process for a minute, with our own echo: no loss and no round trip of zero.

The relay is read as in a cluster: a scrape each 15 s, and a request of the operator that waits for the next report.
"""

from __future__ import annotations

import numpy as np

from lab.base.proc import children_of, cpu_ns
from lab.bench.counters.udp_drops import udp_drops
from lab.bench.load.load import quantile
from lab.bench.load.load_generator import load_generator
from lab.bench.load.readers import awaited, scraped
from lab.bench.places import ECHO_PORT
from lab.bench.results.figures import Figure, Result
from lab.bench.session import Session
from lab.bench.subjects.own import own_echo, own_relay

CALLS = 400
SECONDS_AROUND = 15.0
SCRAPE_EVERY_SECONDS = 15.0
NS_PER_US, NS_PER_SECOND = 1_000, 1_000_000_000


def estimated_seconds(session: Session) -> float:
    """Return the duration of the run."""
    return session.long_seconds + SECONDS_AROUND


async def run(session: Session) -> Result:
    """Run one long load."""
    session.say(f"{CALLS} calls for {session.long_seconds:g} s")
    async with (
        own_echo(session.folder) as echo,
        load_generator(session.programs.load, session.folder, CALLS, session.long_seconds) as generator,
        own_relay(generator.ports, session.folder) as relay,
    ):
        await generator.connect(relay.peers)
        await generator.until_warm()
        groups = {
            **relay.processes(),
            "echo": [echo.pid, *children_of(echo.pid)],
            "load generator": [generator.pid],
        }
        before = {name: cpu_ns(pids) for name, pids in groups.items()}
        async with scraped(relay, SCRAPE_EVERY_SECONDS), awaited(relay):
            await generator.until_sent()
        busy = {name: (cpu_ns(pids) - before[name]) / NS_PER_SECOND for name, pids in groups.items()}
        load = await generator.result()
        dropped = udp_drops({*relay.peers, ECHO_PORT})
        window = (await relay.get("/status"))["windows"]["calls"]
    trips = load.round_trips_ns(from_schedule=False)
    zeros = int(np.count_nonzero(trips <= 0)) + int(window["roundTrip"]["minNs"] <= 0)
    title = f"{CALLS} calls, one media process, {session.long_seconds:g} s"
    figures = [
        Figure(f"{title}: sent and not returned", [load.lost], "packets", 0, "worst", breaks=True),
        Figure(f"{title}: dropped by our sockets (SO_RXQ_OVFL)", [dropped], "packets", 0, "worst", breaks=True),
        Figure(f"{title}: round trips of zero", [zeros], "", 0, "worst", breaks=True),
        Figure(f"{title}: sent", [load.sent], "packets"),
        Figure(f"{title}: CPU of the control ÷ media process", [busy["control"] / busy["media"]], target=0.1),
        *(
            Figure(f"{title}: {name} was busy", [100 * seconds / session.long_seconds], "% of a core")
            for name, seconds in busy.items()
        ),
        *(
            Figure(
                f"{title}: p{mille / 10:g}",
                [quantile(load.round_trips_ns(from_schedule=True), mille) / NS_PER_US],
                "µs",
            )
            for mille in (500, 990, 1000)
        ),
    ]
    raw = {"lostByCall": load.lost_by_call(), "generatorOverflows": load.overflows, "duplicates": load.duplicates}
    return Result(figures, raw)

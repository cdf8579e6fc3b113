"""The late packets and the host's times that the relay shows, from its metrics."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from lab.bench.causes.truth import Cause

LATE = "rtp_relay_late_packets_total"
PACKETS = "rtp_relay_packets_total"
THROTTLED = "rtp_relay_cpu_throttled_seconds_total"
STOLEN = "rtp_relay_host_stolen_seconds_total"
RUN_DELAY = "rtp_relay_media_run_delay_seconds_total"
STALL = "rtp_relay_host_stall_seconds_total"
HOST_SECONDS = {"throttled": THROTTLED, "stolen": STOLEN, "runDelay": RUN_DELAY, "stall": STALL}


@dataclass(frozen=True, slots=True)
class Shown:
    """Late packets of calls by cause since the relay's start, and the sums of its witnesses in seconds.

    A cause or a witness that the relay does not show is absent.
    """

    late: dict[Cause, int]
    host_seconds: dict[str, float]

    def since(self, earlier: Shown) -> Shown:
        """Return the increase."""
        return Shown(
            {cause: count - earlier.late.get(cause, 0) for cause, count in self.late.items()},
            {name: value - earlier.host_seconds.get(name, 0.0) for name, value in self.host_seconds.items()},
        )


def read_shown(metrics: str) -> Shown:
    """Return the figures of a scrape."""
    late: dict[Cause, int] = {}
    seconds: dict[str, float] = {}
    witnesses = {metric: name for name, metric in HOST_SECONDS.items()}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == LATE and sample.labels["stream"] == "calls":
                late[Cause(sample.labels["cause"])] = int(sample.value)
            elif sample.name in witnesses:
                name = witnesses[sample.name]
                seconds[name] = seconds.get(name, 0.0) + sample.value
    return Shown(late, seconds)

"""Host time of several relays, added up: the figures that the status shows under `host`."""

from __future__ import annotations

from collections.abc import Sequence

from rtppool_core.contract.report import HostReport

SUMS = {
    "cpuSeconds": "cpu_seconds",
    "stolenMilliseconds": "stolen_milliseconds",
    "runDelayMilliseconds": "run_delay_milliseconds",
    "throttledMilliseconds": "throttled_milliseconds",
    "heartbeatLateMilliseconds": "heartbeat_late_milliseconds",
}


def merge_hosts(hosts: Sequence[HostReport]) -> dict[str, int] | None:
    """Return the sums over relays; None without a report of host time.

    A figure that no relay reads is left out.
    """
    if not hosts:
        return None
    merged = {"windowSeconds": max(host.window_seconds for host in hosts)}
    for field, name in SUMS.items():
        values = [value for host in hosts if (value := getattr(host, name)) is not None]
        if values:
            merged[field] = round(sum(values))
    return merged

"""Findings about taken processor time: a hypervisor, a CPU limit, other processes, and witnesses that are missing.

A sentence has no figure that moves, because each change of a finding is logged.
"""

from __future__ import annotations

from collections.abc import Iterator

from rtppool_core.contract.report import Finding
from rtppool_core.host.figures import HostFigures
from rtppool_relay.figures.host_time import HostTime

MIN_STOLEN_PER_MILLE = 1
MIN_WAITING_PER_CENT = 10
# Without these, the host's part of late packets counts as the relay's or the echo's.
NEEDED = ("heartbeat", "steal", "runDelay")
STOLEN = Finding(
    "ProcessorStolen",
    "the hypervisor takes processor time from this machine (steal in /proc/stat): packets are late meanwhile, and a "
    "limit of 0.1 % at 3 ms can't be kept; give the machine processors of its own",
)
THROTTLED = Finding(
    "CpuLimit",
    "a CPU limit of this container holds it back (throttled in cpu.stat of its control group): packets are late "
    "meanwhile; remove resources.limits.cpu of the pod, or raise it",
)
WAITING = Finding(
    "ProcessorBusy",
    "the media processes wait a tenth of the time for a processor (run delay in /proc/PID/schedstat): other processes "
    "hold it; run fewer of them on this node, or set MEDIA_SCHEDULING=realtime",
)


def find_host_time(host: HostTime) -> tuple[Finding, ...]:
    """Return the findings of the latest window; none before a witness was read."""
    return () if host.absent is None else tuple(_findings(host, host.latest()))


def _findings(host: HostTime, latest: HostFigures) -> Iterator[Finding]:
    if latest.stolen_ns and latest.capacity_ns and latest.stolen_ns * 1000 >= latest.capacity_ns * MIN_STOLEN_PER_MILLE:
        yield STOLEN
    if latest.throttled_ns or latest.throttled_periods:
        yield THROTTLED
    if latest.run_delay_ns and latest.run_delay_ns * 100 >= host.latest_ns() * MIN_WAITING_PER_CENT:
        yield WAITING
    missing = [f"{name} ({reason})" for name, reason in host.missing().items() if name in NEEDED]
    if missing:
        yield Finding(
            "HostWitnesses",
            f"host time can't be told from the relay's and the echo's completely, without {', '.join(missing)}",
        )

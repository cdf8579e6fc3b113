"""Preflight: properties of this host that cost calls or packets, each as a sentence with the remedy.

An inferred finding is marked as such and names its evidence. An unreadable fact is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import Finding, PortsReport
from rtppool_relay.ports.asterisk_endpoints import AsteriskEndpoints
from rtppool_relay.ports.descriptor_shortage import descriptor_shortage

# The default of the API server's --service-node-port-range; a cluster may use another.
ASSUMED_NODE_PORTS = (30_000, 32_767)
MAX_NAMED_PORTS = 3
MAX_NAMED_RUNS = 8
MAX_SETTING_LENGTH = 300
REAL_TIME_REFUSED = (
    "media processes did not get real-time priority: a busy node makes packets late; it takes CAP_SYS_NICE (as root) "
    "or RLIMIT_RTPRIO, and in a container a kernel without CONFIG_RT_GROUP_SCHED, which denies it to containers: "
    "grep RT_GROUP_SCHED /boot/config-$(uname -r)"
)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Facts read from the host. None could not be read; `unread` then names the fact and the error.

    The kernel assigns ports of `ephemeral` except `reserved` by itself. It grants `receive_buffer_bytes` for a request
    of `receive_buffer_asked_bytes`, up to `receive_buffer_limit_bytes` (rmem_max).
    """

    ephemeral: tuple[int, int] | None
    reserved: frozenset[int] | None
    receive_buffer_asked_bytes: int
    receive_buffer_bytes: int | None
    receive_buffer_limit_bytes: int | None
    file_limit: int
    in_cluster: bool = False
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedUse:
    """The ports that the relay needs on this host."""

    ports: PortRange
    excluded: frozenset[int]
    echo_port: int

    def usable(self, first: int, last: int) -> list[int]:
        """Return the usable ports for calls from `first` to `last`."""
        return [port for port in self.ports if first <= port <= last and port not in self.excluded]


def preflight(
    facts: HostFacts,
    planned: PlannedUse,
    ports: PortsReport,
    asterisk: AsteriskEndpoints,
    stamps_reason: str | None,
    *,
    real_time_refused: bool = False,
) -> tuple[Finding, ...]:
    """Return all findings, the known ones before the inferred ones.

    `ports` has the results of trial binds. `stamps_reason` says why the kernel does not stamp packets, if so.
    `real_time_refused`: media processes should have real-time priority, but the kernel refused it.
    """
    shortage = descriptor_shortage(facts.file_limit, len(planned.ports))
    candidates = (
        *(Finding("HostUnread", sentence) for sentence in facts.unread),
        _ephemeral(facts, planned),
        _not_bound(ports),
        _receive_buffer(facts),
        Finding("FileLimit", shortage) if shortage else None,
        Finding("ReceiveStamps", stamps_reason) if stamps_reason else None,
        Finding("RealTimeRefused", REAL_TIME_REFUSED) if real_time_refused else None,
        _asterisk_range(planned, asterisk),
        _node_ports(facts, planned),
        _advertised_address(asterisk),
        Finding("AsteriskSource", str(asterisk.translated), inferred=True) if asterisk.translated else None,
    )
    return tuple(each for each in candidates if each)


def format_ports(ports: Iterable[int]) -> str:
    """Return ascending ports as the kernel lists them: `10000-10010,10012`."""
    ordered = list(ports)
    ends = [0, *(at for at, (one, other) in enumerate(pairwise(ordered), 1) if other != one + 1), len(ordered)]
    runs = [(ordered[start], ordered[end - 1]) for start, end in pairwise(ends) if start < end]
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _abbreviate(ports: list[int]) -> str:
    runs = format_ports(ports).split(",")
    return ",".join(runs[:MAX_NAMED_RUNS]) + (",…" if len(runs) > MAX_NAMED_RUNS else "")


def _ephemeral(facts: HostFacts, planned: PlannedUse) -> Finding | None:
    if facts.ephemeral is None:
        return None
    reserved = facts.reserved or frozenset()
    exposed = [port for port in planned.usable(*facts.ephemeral) if port not in reserved]
    if not exposed:
        return None
    first, last = facts.ephemeral
    setting, wanted = "net.ipv4.ip_local_reserved_ports", format_ports(sorted(reserved | set(exposed)))
    if len(wanted) <= MAX_SETTING_LENGTH:
        fix = f"sysctl -w {setting}={wanted}{' (with the ports reserved already)' if reserved else ''}"
    else:
        fix = f"add them to {setting}"
    return Finding(
        "EphemeralRange",
        f"ports {_abbreviate(exposed)} lie in net.ipv4.ip_local_port_range, {first}-{last}: the kernel may assign "
        f"one to any program; on the node: {fix}",
    )


def _not_bound(ports: PortsReport) -> Finding | None:
    if not ports.quarantined:
        return None
    named = "; ".join(each.reason for each in ports.quarantine[:MAX_NAMED_PORTS])
    more = "; …" if ports.quarantined > MAX_NAMED_PORTS else ""
    first = ports.quarantine[0].port
    return Finding(
        "PortsNotBound",
        f"{ports.quarantined} of {ports.total} ports of {ports.range} can't be used: {named}{more}; "
        f"find the holder of one with: ss -aunp 'sport = :{first}'. They are tried again every few seconds",
    )


def _receive_buffer(facts: HostFacts) -> Finding | None:
    if facts.receive_buffer_bytes is None or facts.receive_buffer_bytes >= facts.receive_buffer_asked_bytes:
        return None
    limit = facts.receive_buffer_limit_bytes
    cause = "net.core.rmem_max could not be read" if limit is None else f"net.core.rmem_max is {limit}"
    return Finding(
        "ReceiveBuffer",
        f"a socket's receive buffer has {facts.receive_buffer_bytes} bytes instead of "
        f"{facts.receive_buffer_asked_bytes} ({cause}): a busy node loses packets sooner; "
        f"on the node: sysctl -w net.core.rmem_max={facts.receive_buffer_asked_bytes}",
    )


def _asterisk_range(planned: PlannedUse, asterisk: AsteriskEndpoints) -> Finding | None:
    if asterisk.local_ports is None:
        return None
    first, last = asterisk.local_ports
    hit = [f"the pool's {_abbreviate(shared)}"] if (shared := planned.usable(first, last)) else []
    if first <= planned.echo_port <= last:
        hit.append(f"the echo's port {planned.echo_port}")
    if not hit:
        return None
    return Finding(
        "AsteriskRange",
        f"Asterisk's RTP ports on this host, observed from {first} to {last} (its rtp.conf may be wider), hold "
        f"{' and '.join(hit)}: set rtpstart and rtpend of rtp.conf to other ports",
        inferred=True,
    )


def _node_ports(facts: HostFacts, planned: PlannedUse) -> Finding | None:
    shared = planned.usable(*ASSUMED_NODE_PORTS) if facts.in_cluster else []
    if not shared:
        return None
    first, last = ASSUMED_NODE_PORTS
    return Finding(
        "NodePorts",
        f"ports {_abbreviate(shared)} lie in the cluster's NodePorts, assumed {first}-{last}: a Service may take their "
        "packets; choose a portRange outside, or exclude them",
        inferred=True,
    )


def _advertised_address(asterisk: AsteriskEndpoints) -> Finding | None:
    if (mismatch := asterisk.mismatch) is None:
        return None
    return Finding(
        "AdvertisedAddress",
        f"Asterisk sends to {mismatch.advertised}, but packets to Asterisk at {mismatch.asterisk} leave from "
        f"{mismatch.source}: right behind NAT; otherwise Asterisk's packets do not arrive, and ADVERTISE_IP or the "
        f"pool's advertise should be {mismatch.source}",
        inferred=True,
    )

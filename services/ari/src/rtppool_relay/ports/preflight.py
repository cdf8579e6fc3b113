"""What of this host will cost calls or packets, each as a sentence with what to do. Pure.

What can only be inferred is marked as such and says from what. What could not be read is a finding of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import Finding, PortsReport
from rtppool_relay.ports.asterisk_seen import AsteriskSeen
from rtppool_relay.ports.descriptor_limit import too_few_descriptors

# Kubernetes' own default of --service-node-port-range; a cluster may have another.
ASSUMED_NODE_PORTS = (30_000, 32_767)
QUARANTINED_NAMED = 3
RUNS_NAMED = 8
MAX_SETTING = 300
REAL_TIME_REFUSED = (
    "media processes should have real-time priority and did not get it: a busy node makes packets late; it takes "
    "CAP_SYS_NICE (as root) or RLIMIT_RTPRIO, and in a container a kernel without CONFIG_RT_GROUP_SCHED, which gives "
    "containers none: grep RT_GROUP_SCHED /boot/config-$(uname -r)"
)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the host says of itself. None: it could not be read, and `unread` says what and why.

    `ephemeral` is the range of ports that the kernel gives out by itself, `reserved` are those it leaves out. A
    receive buffer of `receive_buffer_bytes` is got where `receive_buffer_asked_bytes` are asked for, because of
    `receive_buffer_limit_bytes` (rmem_max).
    """

    ephemeral: tuple[int, int] | None
    reserved: frozenset[int] | None
    receive_buffer_asked_bytes: int
    receive_buffer_bytes: int
    receive_buffer_limit_bytes: int | None
    file_limit: int
    in_cluster: bool = False
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """What the relay is to use of the host."""

    ports: PortRange
    excluded: frozenset[int]
    echo_port: int

    def usable(self, first: int, last: int) -> list[int]:
        """The ports for calls from `first` to `last`."""
        return [port for port in self.ports if first <= port <= last and port not in self.excluded]


def preflight(
    facts: HostFacts,
    planned: Planned,
    ports: PortsReport,
    asterisk: AsteriskSeen,
    stamps_reason: str | None,
    *,
    real_time_refused: bool = False,
) -> tuple[Finding, ...]:
    """Everything that was found, what is known before what is inferred.

    `ports` tells of the trial binds, `stamps_reason` why receive stamps are not the kernel's, if so,
    `real_time_refused` that media processes should have real-time priority and have not.
    """
    shortage = too_few_descriptors(facts.file_limit, len(planned.ports))
    found = (
        *(Finding("HostUnread", sentence) for sentence in facts.unread),
        _ephemeral(facts, planned),
        _not_bound(ports),
        _receive_buffer(facts),
        Finding("FileLimit", shortage) if shortage else None,
        Finding("ReceiveStamps", stamps_reason) if stamps_reason else None,
        Finding("RealTimeRefused", REAL_TIME_REFUSED) if real_time_refused else None,
        _asterisk_range(planned, asterisk),
        _node_ports(facts, planned),
        _misdirected(asterisk),
    )
    return tuple(each for each in found if each)


def in_ranges(ports: Iterable[int]) -> str:
    """`10000-10010,10012`, as the kernel writes lists of ports; they must be in order."""
    ordered = list(ports)
    ends = [0, *(at for at, (one, other) in enumerate(pairwise(ordered), 1) if other != one + 1), len(ordered)]
    runs = [(ordered[start], ordered[end - 1]) for start, end in pairwise(ends) if start < end]
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _named(ports: list[int]) -> str:
    runs = in_ranges(ports).split(",")
    return ",".join(runs[:RUNS_NAMED]) + (",…" if len(runs) > RUNS_NAMED else "")


def _ephemeral(facts: HostFacts, planned: Planned) -> Finding | None:
    if facts.ephemeral is None:
        return None
    reserved = facts.reserved or frozenset()
    exposed = [port for port in planned.usable(*facts.ephemeral) if port not in reserved]
    if not exposed:
        return None
    first, last = facts.ephemeral
    setting, wanted = "net.ipv4.ip_local_reserved_ports", in_ranges(sorted(reserved | set(exposed)))
    if len(wanted) <= MAX_SETTING:
        fix = f"sysctl -w {setting}={wanted}{' (with what is reserved already)' if reserved else ''}"
    else:
        fix = f"add them to {setting}"
    return Finding(
        "EphemeralRange",
        f"ports {_named(exposed)} lie in net.ipv4.ip_local_port_range, {first}-{last}: the kernel may give one to any "
        f"program; on the node: {fix}",
    )


def _not_bound(ports: PortsReport) -> Finding | None:
    if not ports.quarantined:
        return None
    named = "; ".join(each.reason for each in ports.quarantine[:QUARANTINED_NAMED])
    more = "; …" if ports.quarantined > QUARANTINED_NAMED else ""
    first = ports.quarantine[0].port
    return Finding(
        "PortsNotBound",
        f"{ports.quarantined} of {ports.total} ports of {ports.range} can't be used: {named}{more}; "
        f"who has one: ss -aunp 'sport = :{first}'. They are tried again every few seconds",
    )


def _receive_buffer(facts: HostFacts) -> Finding | None:
    if facts.receive_buffer_bytes >= facts.receive_buffer_asked_bytes:
        return None
    limit = facts.receive_buffer_limit_bytes
    because = "net.core.rmem_max could not be read" if limit is None else f"net.core.rmem_max is {limit}"
    return Finding(
        "ReceiveBuffer",
        f"{facts.receive_buffer_asked_bytes} bytes were asked for a socket's receive buffer and "
        f"{facts.receive_buffer_bytes} were got ({because}): a busy node loses packets sooner; "
        f"on the node: sysctl -w net.core.rmem_max={facts.receive_buffer_asked_bytes}",
    )


def _asterisk_range(planned: Planned, asterisk: AsteriskSeen) -> Finding | None:
    if asterisk.local_ports is None:
        return None
    first, last = asterisk.local_ports
    hit = [f"the pool's {_named(shared)}"] if (shared := planned.usable(first, last)) else []
    if first <= planned.echo_port <= last:
        hit.append(f"the echo's port {planned.echo_port}")
    if not hit:
        return None
    return Finding(
        "AsteriskRange",
        f"Asterisk's RTP ports on this host, seen so far from {first} to {last} (its rtp.conf may be wider), hold "
        f"{' and '.join(hit)}: set rtpstart and rtpend of rtp.conf outside",
        inferred=True,
    )


def _node_ports(facts: HostFacts, planned: Planned) -> Finding | None:
    shared = planned.usable(*ASSUMED_NODE_PORTS) if facts.in_cluster else []
    if not shared:
        return None
    first, last = ASSUMED_NODE_PORTS
    return Finding(
        "NodePorts",
        f"ports {_named(shared)} lie in the cluster's NodePorts, assumed {first}-{last}: a Service may take their "
        "packets; choose a portRange outside, or exclude them",
        inferred=True,
    )


def _misdirected(asterisk: AsteriskSeen) -> Finding | None:
    if (seen := asterisk.misdirected) is None:
        return None
    return Finding(
        "AdvertisedAddress",
        f"Asterisk was told {seen.advertised}, but packets to it at {seen.asterisk} leave from "
        f"{seen.source}: right behind NAT; otherwise what it sends does not arrive, and ADVERTISE_IP or the pool's "
        f"advertise should give {seen.source}",
        inferred=True,
    )

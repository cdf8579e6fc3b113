"""`pools.json`: the operator writes it into the ConfigMap `rtp-relay-config`, and every relay reads it.

A relay uses the pool that lists its node. It checks only the envelope and its own entry, so that a mistake in one pool
never stops the relays of another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from rtppool_core.contract.codec import Contract, ContractError, decode_any, from_json, to_json
from rtppool_core.contract.port_range import MAX_PORT, PortRange
from rtppool_core.net.hosts import host_problem, shown_host
from rtppool_core.net.udp import host_port

VERSION = 1
CONFIG_MAP_NAME = "rtp-relay-config"
FILE_NAME = "pools.json"
MOUNT_PATH = "/etc/rtp-pool"
# The operator sets this on relay pods so that the kubelet refreshes the mount at once instead of within a minute.
REFRESH_ANNOTATION = "rtppool.dev/config-revision"

MediaFormat = Literal["ulaw", "alaw", "slin16"]
CLOCK_RATE_HZ: dict[str, int] = {"ulaw": 8000, "alaw": 8000, "slin16": 16000}


class NodeAssignment(Contract, frozen=True):
    """A node of the pool, and the address that its relay advertises to Asterisk (None: the node's own)."""

    name: str
    advertise_address: str | None = None


class EchoTarget(Contract, frozen=True):
    """The destination of the packets from Asterisk. `host` is a name or an address, and each relay resolves it.

    `extension`: new calls carry the header extension of `echo_extension` on the leg to the echo. A plain echo returns
    it unfilled.
    """

    host: str = "127.0.0.1"
    port: int = 4000
    extension: bool = False

    def __post_init__(self) -> None:
        """Reject an invalid target.

        Raises:
            ValueError: no host, or a port outside 1-65535.
        """
        if not self.host:
            raise ValueError("echo.host is empty; accepted is a host name or an address")
        if not 1 <= self.port <= MAX_PORT:
            raise ValueError(f"echo.port is {self.port}; accepted is 1 to 65535")

    def __str__(self) -> str:
        return host_port(self.host, self.port)


class MediaSettings(Contract, frozen=True):
    """The media requested from Asterisk: a static payload type, so that both sides agree without SDP."""

    format: MediaFormat = "ulaw"


class SlaTier(Contract, frozen=True):
    """Round-trip percentiles that must hold up to this many active calls."""

    up_to_calls: int
    p50_microseconds: int
    p95_microseconds: int
    p99_microseconds: int


DEFAULT_TIERS = (
    SlaTier(30, 8_000, 12_000, 18_000),
    SlaTier(100, 10_000, 15_000, 20_000),
    SlaTier(150, 12_000, 18_000, 22_000),
)


class SlaLimits(Contract, frozen=True):
    """Limits that hold at any load, and the tiers by load. The defaults are the original system's.

    `judge_host`: delay by the host counts towards `max_late_ppm` as well.
    """

    tiers: tuple[SlaTier, ...] = DEFAULT_TIERS
    max_rtt_microseconds: int = 22_000
    late_threshold_microseconds: int = 3_000
    max_late_ppm: int = 1_000
    max_loss_ppm: int = 2_000
    window_seconds: int = 60
    min_samples: int = 1_000
    judge_host: bool = False


class ProbeSettings(Contract, frozen=True):
    """The synthetic stream that measures without calls."""

    enabled: bool = True
    interval_seconds: int = 1


class DrainSettings(Contract, frozen=True):
    """Seconds for which live calls may go on after their relay begins to stop."""

    timeout_seconds: int = 3_600


class PoolEntry(Contract, frozen=True):
    """An RtpPool as its relays need it. The fields are those of its spec."""

    name: str
    namespace: str
    uid: str
    generation: int
    nodes: tuple[NodeAssignment, ...]
    port_range: PortRange
    excluded_ports: tuple[int, ...] = ()
    reuse_delay_seconds: int = 5
    echo: EchoTarget = EchoTarget()
    media: MediaSettings = MediaSettings()
    max_calls: int | None = None
    sla: SlaLimits = SlaLimits()
    probe: ProbeSettings = ProbeSettings()
    drain: DrainSettings = DrainSettings()

    def __post_init__(self) -> None:
        """Reject a pool in which the echo's packets would loop, or whose echo no resolver accepts.

        Raises:
            ValueError: the echo's port lies inside the range, or its host cannot be encoded.
        """
        if (problem := host_problem(self.echo.host)) is not None:
            host = shown_host(self.echo.host)
            raise ValueError(f"echo.host is {host}; accepted is a host name or an address: {problem}")
        if self.echo.port in self.port_range:
            raise ValueError(
                f"echo.port is {self.echo.port}, inside portRange {self.port_range}; accepted is a port outside it"
            )

    def node(self, node_name: str) -> NodeAssignment | None:
        """Return this pool's assignment of a node."""
        return next((node for node in self.nodes if node.name == node_name), None)


class PoolsDocument(Contract, frozen=True):
    """The whole of `pools.json`, as the operator writes it."""

    pools: tuple[PoolEntry, ...] = ()
    version: int = VERSION


def encode(document: PoolsDocument) -> str:
    """Return the file's text. Equal documents give equal bytes."""
    return json.dumps(to_json(document), sort_keys=True, separators=(",", ":"))


def decode_for_node(text: str, node_name: str) -> PoolEntry | None:
    """Return the pool that lists `node_name`, or None.

    Raises:
        ContractError: not JSON, another version, no list of pools, or a mistake in this node's own entry.
    """
    entry = _entry_of_node(_envelope(text), node_name)
    if entry is None:
        return None
    at, raw = entry
    place = f"pools[{at}]"
    pool = from_json(PoolEntry, raw, place)
    # A mistake in another node's address must not stop this one.
    node = pool.node(node_name)
    address = node.advertise_address if node is not None else None
    if address is not None and (problem := host_problem(address)) is not None:
        shown = f"the advertiseAddress of node {node_name} is {shown_host(address)}"
        raise ContractError(f"{place}: {shown}; accepted is a host name or an address: {problem}", place)
    return pool


def _envelope(text: str) -> list[Any]:
    try:
        document = decode_any(text)
    except ContractError as error:
        raise ContractError(f"{FILE_NAME} is {error}") from error
    if not isinstance(document, Mapping) or document.get("version") != VERSION:
        found = document.get("version") if isinstance(document, Mapping) else None
        raise ContractError(f"{FILE_NAME}: version is {found!r}; accepted is {VERSION}")
    pools = document.get("pools")
    if not isinstance(pools, list):
        raise ContractError(f"{FILE_NAME}: pools is missing; accepted is a list")
    return pools


def _entry_of_node(pools: list[Any], node_name: str) -> tuple[int, Mapping[str, Any]] | None:
    for at, raw in enumerate(pools):
        nodes = raw.get("nodes") if isinstance(raw, Mapping) else None
        if isinstance(nodes, list) and any(
            isinstance(node, Mapping) and node.get("name") == node_name for node in nodes
        ):
            return at, raw
    return None

"""The configuration in force: the entry of the pool that lists the node, or else the environment."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from rtppool_core.contract.codec import ContractError
from rtppool_core.contract.pools_file import (
    CLOCK_RATE_HZ,
    DrainSettings,
    EchoTarget,
    PoolEntry,
    ProbeSettings,
    SlaLimits,
    decode_for_node,
)
from rtppool_core.contract.port_range import REFLECTOR_PORTS, PortRange
from rtppool_core.contract.report import PoolReference
from rtppool_relay.figures.capacity import Capacity, compute_capacity
from rtppool_relay.settings import Settings


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """The configuration in force.

    `pool` and `generation` are None without a pool. With `advertise_address` None the relay advertises its own address
    on the route to Asterisk.
    """

    port_range: PortRange
    echo: EchoTarget
    advertise_address: str | None
    excluded_ports: frozenset[int] = frozenset()
    reuse_delay_seconds: float = 5.0
    media_format: str = "ulaw"
    max_calls: int | None = None
    sla: SlaLimits = field(default_factory=SlaLimits)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    drain: DrainSettings = field(default_factory=DrainSettings)
    pool: PoolReference | None = None
    generation: int | None = None

    @property
    def clock_rate_hz(self) -> int:
        """The RTP clock rate of the media format."""
        return CLOCK_RATE_HZ[self.media_format]

    @property
    def capacity(self) -> Capacity:
        """The number of calls at a time, and its reason."""
        return compute_capacity(self.port_range, self.excluded_ports, self.max_calls)


def from_environment(settings: Settings) -> RelayConfig:
    """Return the configuration of a relay without a pool."""
    return RelayConfig(
        settings.port_range, settings.echo, _own_address(settings), _reflector_ports(settings.port_range)
    )


def from_pool(entry: PoolEntry, settings: Settings) -> RelayConfig:
    """Return the configuration of a relay whose node the pool lists."""
    node = entry.node(settings.node_name)
    return RelayConfig(
        port_range=entry.port_range,
        echo=entry.echo,
        advertise_address=(node.advertise_address if node else None) or _own_address(settings),
        excluded_ports=frozenset(entry.excluded_ports) | _reflector_ports(entry.port_range),
        reuse_delay_seconds=entry.reuse_delay_seconds,
        media_format=entry.media.format,
        max_calls=entry.max_calls,
        sla=entry.sla,
        probe=entry.probe,
        drain=entry.drain,
        pool=PoolReference(entry.name, entry.namespace, entry.uid),
        generation=entry.generation,
    )


@dataclass(frozen=True, slots=True)
class ConfigState:
    """The configuration in force, and the error of the last file that was rejected."""

    config: RelayConfig
    error: str | None = None


def next_state(current: ConfigState, text: str | None, settings: Settings) -> ConfigState:
    """Return the state after reading the file; `text` is None for a missing file.

    A missing or invalid file keeps the last good configuration. A valid file without this node selects the
    environment.
    """
    if text is None:
        return ConfigState(current.config)
    try:
        entry = decode_for_node(text, settings.node_name)
    except ContractError as error:
        return ConfigState(current.config, str(error))
    return ConfigState(from_environment(settings) if entry is None else from_pool(entry, settings))


def _reflector_ports(ports: PortRange) -> frozenset[int]:
    """Return the ports of a range that the echo never answers; no call may use them."""
    return frozenset(port for port in REFLECTOR_PORTS if port in ports)


def _own_address(settings: Settings) -> str | None:
    bound = settings.bind_ip if not ipaddress.ip_address(settings.bind_ip).is_unspecified else ""
    return settings.advertise_ip or bound or settings.node_ip or None

"""The trust between namespaces: the pools that the operator honours, and the hosts that they may name.

An RtpPool is namespaced, but its effect is not: it decides where the audio of whole nodes goes. So the administrator of
the release lists the namespaces whose pools apply. A pool of another namespace keeps the entry that it already has,
because an upgrade must not redirect live calls, and gets no other one.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from rtppool_operator.pools.rules import is_host_name
from rtppool_operator.pools.spec import Pool

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_SHOWN = 3


@dataclass(frozen=True, slots=True)
class PolicyRefusal:
    """Why the release does not accept a valid pool, as a reason of `Accepted` with its message."""

    reason: Literal["NamespaceNotHonoured", "NotAllowed"]
    message: str


@dataclass(frozen=True, slots=True)
class HostList:
    """Networks for hosts that are addresses, and names for the others. An empty list allows every host."""

    networks: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> HostList:
        """Read CIDRs, addresses and host names, separated by commas.

        Raises:
            ValueError: an entry is none of them, or a CIDR has host bits.
        """
        networks: list[Network] = []
        names: list[str] = []
        for entry in filter(None, map(str.strip, text.split(","))):
            if is_host_name(entry):
                names.append(_normalize_name(entry))
            else:
                networks.append(ipaddress.ip_network(entry))
        return cls(tuple(networks), tuple(names))

    def allows(self, host: str) -> bool:
        """Return whether a host is allowed. A name needs its own entry, because only relays resolve it."""
        if not self.networks and not self.names:
            return True
        if is_host_name(host):
            return _normalize_name(host) in self.names
        address = ipaddress.ip_address(host)
        return any(address in network for network in self.networks)

    def __str__(self) -> str:
        entries = [*map(str, self.networks), *self.names]
        return ", ".join(entries[:MAX_SHOWN]) + (" and others" if len(entries) > MAX_SHOWN else "")


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """The release's `namespace`, and the rights of pools. Empty `echo_hosts` or `advertised` allow every host."""

    namespace: str
    pool_namespaces: frozenset[str] = frozenset()
    foreign_pools_may_take_nodes: bool = False
    echo_hosts: HostList = HostList()
    advertised: HostList = HostList()

    def is_honoured(self, namespace: str) -> bool:
        """Return whether pools of a namespace apply."""
        return namespace == self.namespace or namespace in self.pool_namespaces

    def is_ranked_last(self, pool: Pool) -> bool:
        """Return whether a pool only gets nodes that no pool of the release claims."""
        foreign = self.is_honoured(pool.namespace) and pool.namespace != self.namespace
        return foreign and not self.foreign_pools_may_take_nodes

    def check(self, pool: Pool) -> PolicyRefusal | None:
        """Return why a pool does not apply; None when it does or when its spec is invalid."""
        if not self.is_honoured(pool.namespace):
            message = (
                f"pools of namespace {pool.namespace} are not honoured; "
                "the administrator of the release can add it to the chart's operator.poolNamespaces"
            )
            return PolicyRefusal("NamespaceNotHonoured", message)
        if pool.spec is None:
            return None
        for field, host, allowed, value in (
            ("echo.host", pool.spec.echo.host, self.echo_hosts, "allowedEchoHosts"),
            ("advertise.address", pool.spec.advertise.address, self.advertised, "allowedAdvertiseAddresses"),
        ):
            if host is not None and not allowed.allows(host):
                message = f"{field} is {host}; the chart's operator.{value} has {allowed}"
                return PolicyRefusal("NotAllowed", message)
        return None

    def rank(self, pool: Pool) -> tuple[bool, bool, bool, str, str, str]:
        """Return the sort key of pools; the first one that claims a node owns it.

        A pool that is not honoured claims exactly the nodes of its last entry, and is first. A selector counts in the
        release's namespace alone. In another namespace it would take nodes from older pools.
        """
        honoured, last = self.is_honoured(pool.namespace), self.is_ranked_last(pool)
        without_selector = honoured and not last and not pool.selector
        return (honoured, last, without_selector, pool.created, pool.namespace, pool.name)


def _normalize_name(name: str) -> str:
    return name.rstrip(".").lower()

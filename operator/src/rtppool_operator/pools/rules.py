"""The rules over several fields of a spec, with the messages of the CRD's CEL rules.

The API server applies the CEL rules. The operator repeats them for a cluster with an older definition. They are not
part of the contract with relays, because an older relay must not reject a newer pool.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rtppool_core.contract.port_range import REFLECTOR_PORTS
from rtppool_operator.pools.spec import PoolSpec

# The patterns of the CEL rules; a test compares them.
HOST_NAME = "^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?[.])*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?[.]?$"
ENDS_AS_A_NUMBER = "(^|[.])([0-9]+|0[xX][0-9A-Fa-f]*)[.]?$"
LABEL_KEY = (
    "^([a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"
    "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
)
LABEL_VALUE = "^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"
MAX_LABEL_KEY = 317


class Refusal(NamedTuple):
    """The field as the API server names it (`spec.echo.port`), and a message with its value and the accepted values."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def check_rules(spec: PoolSpec) -> Refusal | None:
    """Return the first broken rule, with the message of its CEL rule."""
    return next((found for rule in RULES for found in rule(spec)), None)


def is_host_name(text: str) -> bool:
    """Return whether a text is a host name, and neither an address nor a short form of one such as 127.1."""
    return re.fullmatch(HOST_NAME, text) is not None and re.search(ENDS_AS_A_NUMBER, text) is None


def _echo_host(spec: PoolSpec) -> Iterator[Refusal]:
    host = spec.echo.host
    address = _address(host)
    if not (is_host_name(host) if address is None else _is_unicast(address)):
        yield Refusal("spec.echo.host", f"echo.host is {host}; accepted is a host name or a unicast address")


def _echo_outside_range(spec: PoolSpec) -> Iterator[Refusal]:
    if spec.echo.port in spec.port_range:
        message = f"echo.port is {spec.echo.port}, inside portRange {spec.port_range}; accepted is a port outside it"
        yield Refusal("spec.echo.port", message)


def _excluded_once(spec: PoolSpec) -> Iterator[Refusal]:
    for at in _repeated(spec.excluded_ports):
        message = f"excludedPorts has {spec.excluded_ports[at]} twice; accepted is each port once"
        yield Refusal(f"spec.excludedPorts[{at}]", message)


def _excluded_inside_range(spec: PoolSpec) -> Iterator[Refusal]:
    outside = [port for port in spec.excluded_ports if port not in spec.port_range]
    if outside:
        message = f"excludedPorts has {outside}, outside portRange {spec.port_range}; accepted are ports of the range"
        yield Refusal("spec.excludedPorts", message)


def _excluded_leave_a_port(spec: PoolSpec) -> Iterator[Refusal]:
    excluded = len(spec.excluded_ports)
    if excluded >= len(spec.port_range):
        message = (
            f"excludedPorts has all {excluded} ports of portRange {spec.port_range}; "
            "accepted is a list that leaves at least one"
        )
        yield Refusal("spec.excludedPorts", message)


def _a_port_is_answered(spec: PoolSpec) -> Iterator[Refusal]:
    unanswered = [
        port for port in sorted(REFLECTOR_PORTS) if port in spec.port_range and port not in spec.excluded_ports
    ]
    if len(spec.excluded_ports) + len(unanswered) >= len(spec.port_range):
        message = (
            f"portRange {spec.port_range} has only excluded ports and {unanswered}, which no echo answers; "
            "accepted is a range with another port"
        )
        yield Refusal("spec.portRange", message)


def _advertise_fits(spec: PoolSpec) -> Iterator[Refusal]:
    source, address = spec.advertise.source, spec.advertise.address
    if (source == "Static") != (address is not None):
        has = "without an address" if address is None else "with an address"
        message = f"advertise.source is {source} {has}; accepted is an address with Static and none otherwise"
        yield Refusal("spec.advertise.source", message)


def _advertise_address(spec: PoolSpec) -> Iterator[Refusal]:
    text = spec.advertise.address
    if text is not None and not _is_unicast(_address(text)):
        message = f"advertise.address is {text}; accepted is an IPv4 or IPv6 unicast address"
        yield Refusal("spec.advertise.address", message)


def _node_labels(spec: PoolSpec) -> Iterator[Refusal]:
    wrong = [f"{key}: {value}" for key, value in spec.node_selector.items() if not is_label(key, value)]
    if wrong:
        message = (
            f"nodeSelector has {json.dumps(wrong, ensure_ascii=False)}, which no node label can be; accepted are keys "
            "and values of labels (for example topology.kubernetes.io/zone: a)"
        )
        yield Refusal("spec.nodeSelector", message)


def _tiers_once(spec: PoolSpec) -> Iterator[Refusal]:
    limits = [tier.up_to_calls for tier in spec.sla.tiers]
    for at in _repeated(limits):
        message = f"sla.tiers has upToCalls {limits[at]} twice; accepted is one tier for a number of calls"
        yield Refusal(f"spec.sla.tiers[{at}]", message)


def _tiers_ascend(spec: PoolSpec) -> Iterator[Refusal]:
    for at, tier in enumerate(spec.sla.tiers):
        p50, p95, p99 = tier.p50_microseconds, tier.p95_microseconds, tier.p99_microseconds
        if not p50 <= p95 <= p99:
            message = (
                f"the tier up to {tier.up_to_calls} calls has p50 {p50}, p95 {p95}, p99 {p99} microseconds; "
                "accepted is p50 <= p95 <= p99"
            )
            yield Refusal(f"spec.sla.tiers[{at}]", message)


RULES: tuple[Callable[[PoolSpec], Iterator[Refusal]], ...] = (
    _echo_host,
    _echo_outside_range,
    _excluded_once,
    _excluded_inside_range,
    _excluded_leave_a_port,
    _a_port_is_answered,
    _advertise_fits,
    _advertise_address,
    _node_labels,
    _tiers_once,
    _tiers_ascend,
)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse as Kubernetes does: no zone, and no IPv4 inside IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped is not None or address.scope_id is not None):
        return None
    return address


def _is_unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if address is None or address.is_unspecified or address.is_multicast:
        return False
    return address != ipaddress.IPv4Address("255.255.255.255")


def is_label(key: str, value: str) -> bool:
    """Return whether a node or pod can have a label."""
    fits = len(key) <= MAX_LABEL_KEY and re.fullmatch(LABEL_KEY, key) is not None
    return fits and re.fullmatch(LABEL_VALUE, value) is not None


def _repeated(values: Sequence[int]) -> Iterator[int]:
    """Return the places of values that have come before."""
    return (at for at, value in enumerate(values) if value in values[:at])

"""The number of calls that a relay can have at a time, and the SLA tiers above it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rtppool_core.contract.pools_file import SlaTier
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import UnreachableTier


@dataclass(frozen=True, slots=True)
class Capacity:
    """The highest number of calls at a time; `reason` is a clause: `the range 10000-10100 has 101 ports`."""

    calls: int
    reason: str


def compute_capacity(port_range: PortRange, excluded_ports: Iterable[int], max_calls: int | None) -> Capacity:
    """Count the ports, one for each call. A quarantined port counts, because the relay retries it."""
    excluded = len({port for port in excluded_ports if port in port_range})
    ports = len(port_range) - excluded
    if max_calls is not None and max_calls < ports:
        return Capacity(max_calls, f"maxCalls is {max_calls}")
    less = f", {excluded} of them excluded" if excluded else ""
    return Capacity(ports, f"the range {port_range} has {_format_count(len(port_range), 'port')}{less}")


def find_unreachable_tiers(tiers: Iterable[SlaTier], capacity: Capacity) -> tuple[UnreachableTier, ...]:
    """Return the tiers for more calls than the capacity, each with its reason and the calls that it holds for."""
    named = []
    below = 0
    for up_to in sorted(tier.up_to_calls for tier in tiers):
        if up_to > capacity.calls:
            named.append(UnreachableTier(up_to, _describe(up_to, below + 1, capacity)))
        below = up_to
    return tuple(named)


def _describe(up_to_calls: int, from_calls: int, capacity: Capacity) -> str:
    reached = f"{_format_count(up_to_calls, 'call')} can't be reached, because {capacity.reason}"
    if from_calls > capacity.calls:
        return f"{reached}. This tier never holds."
    if from_calls == capacity.calls:
        return f"{reached}. This tier holds at {_format_count(from_calls, 'call')} only."
    return f"{reached}. This tier holds from {from_calls} to {capacity.calls} calls."


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

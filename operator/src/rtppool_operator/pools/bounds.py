"""The bounds of an RtpPool's spec as the definition's schema has them: numbers, lengths, sizes. Pure.

Held against the object as it stands, before it is read, so that the field is named as the API server names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rtppool_core.contract.port_range import MAX_PORT, MIN_PORT, PortRange, PortRangeError


class Refusal(NamedTuple):
    """What is wrong: the field as the API server names it (`spec.echo.port`), and value and what is accepted."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


# Inclusive, by place; [] stands for every item, {} for every value.
_PORT = (MIN_PORT, MAX_PORT)
_MICROSECONDS = (1, 60_000_000)
_PPM = (0, 1_000_000)
INTEGERS: Mapping[str, tuple[int, int]] = {
    "portRange.start": _PORT,
    "portRange.end": _PORT,
    "excludedPorts[]": _PORT,
    "reuseDelaySeconds": (0, 600),
    "echo.port": (1, MAX_PORT),
    "maxCalls": (1, 4096),
    "drain.timeoutSeconds": (0, 86_400),
    "sla.tiers[].upToCalls": (1, 4096),
    "sla.tiers[].p50Microseconds": _MICROSECONDS,
    "sla.tiers[].p95Microseconds": _MICROSECONDS,
    "sla.tiers[].p99Microseconds": _MICROSECONDS,
    "sla.maxRttMicroseconds": _MICROSECONDS,
    "sla.lateThresholdMicroseconds": _MICROSECONDS,
    "sla.maxLatePpm": _PPM,
    "sla.maxLossPpm": _PPM,
    "sla.windowSeconds": (5, 600),
    "sla.minSamples": (1, 10_000_000),
    "probe.intervalSeconds": (1, 300),
}
MAX_ENTRIES: Mapping[str, int] = {"excludedPorts": 64, "nodeSelector": 16, "sla.tiers": 8}
# Characters, at least and at most.
LENGTHS: Mapping[str, tuple[int, int]] = {
    "echo.host": (1, 253),
    "advertise.address": (0, 45),
    "nodeSelector{}": (0, 63),
}
_STEP = re.compile(r"[^.\[\]{}]+|\[\]|\{\}")


def check_bounds(document: Any) -> Refusal | None:
    """What is out of bounds in a spec as it stands in the object; values of another type are left to the reader."""
    for place, bounds in INTEGERS.items():
        for name, value in _get(place, document):
            if isinstance(value, int) and not isinstance(value, bool) and not bounds[0] <= value <= bounds[1]:
                return Refusal(f"spec.{name}", f"{name} is {value}; accepted is {bounds[0]} to {bounds[1]}")
    for place, most in MAX_ENTRIES.items():
        for name, value in _get(place, document):
            if isinstance(value, list | dict) and len(value) > most:
                return Refusal(f"spec.{name}", f"{name} has {len(value)} entries; accepted are at most {most}")
    for place, (least, most) in LENGTHS.items():
        for name, value in _get(place, document):
            if isinstance(value, str) and not least <= len(value) <= most:
                message = f"{name} has {len(value)} characters; accepted are {least} to {most}"
                return Refusal(f"spec.{name}", message)
    return _range(document)


def _get(place: str, document: Any) -> Iterator[tuple[str, Any]]:
    """The values at a place, each with its own name: `sla.tiers[].upToCalls` as `sla.tiers[0].upToCalls` and so on."""
    reached = [("", document)]
    for step in _STEP.findall(place):
        reached = [each for name, value in reached for each in _step(step, name, value)]
    yield from reached


def _step(step: str, name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if step == "[]":
        for at, item in enumerate(value if isinstance(value, list) else ()):
            yield f"{name}[{at}]", item
    elif isinstance(value, Mapping):
        for key in value if step == "{}" else [step]:
            if key in value:
                yield f"{name}.{key}" if name else str(key), value[key]


def _range(document: Any) -> Refusal | None:
    ends = [value for place in ("portRange.start", "portRange.end") for _, value in _get(place, document)]
    if len(ends) == 2 and all(isinstance(end, int) for end in ends):  # noqa: PLR2004 a range has two ends
        try:
            PortRange(*ends)
        except PortRangeError as error:
            return Refusal("spec.portRange", str(error))
    return None

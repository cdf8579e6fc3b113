"""Host time of a span: the sums that the witnesses publish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

# The witnesses, by the names in reports.
WITNESSES = ("heartbeat", "steal", "runDelay", "throttling", "pressure")


@dataclass(frozen=True, slots=True)
class HostFigures:
    """Host time of a span, in ns. A figure that can't be read is None; `Counters.absent` has the reason.

    `capacity_ns` is the processor time that the machine had: its processors times the span. Stolen time is that of all
    processors. `run_delay_ns` is how long the media processes (or reflecting processes) waited for a processor.
    `throttled_ns` and `throttled_periods` are those of this container's CPU limit. `pressure_ns` is the time in which
    some process waited for a processor. `stalled_ns` is the heartbeat's lateness by watched processor, without the
    time of the product's own processes.
    """

    capacity_ns: int | None = None
    stolen_ns: int | None = None
    run_delay_ns: int | None = None
    throttled_ns: int | None = None
    throttled_periods: int | None = None
    pressure_ns: int | None = None
    stalled_ns: Mapping[int, int] | None = None

    def plus(self, other: HostFigures) -> HostFigures:
        """Add up two spans. A figure that one of them lacks is the other's."""
        sums = {name: _plus(getattr(self, name), getattr(other, name)) for name in _NUMBERS}
        return HostFigures(**sums, stalled_ns=_plus_each(self.stalled_ns, other.stalled_ns))


_NUMBERS = tuple(each.name for each in fields(HostFigures) if each.name != "stalled_ns")


def total(figures: Iterable[HostFigures]) -> HostFigures:
    """Add up spans; without any, every figure is None."""
    added = HostFigures()
    for each in figures:
        added = added.plus(each)
    return added


def _plus(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _plus_each(one: Mapping[int, int] | None, other: Mapping[int, int] | None) -> Mapping[int, int] | None:
    if one is None or other is None:
        return other if one is None else one
    return {processor: one.get(processor, 0) + other.get(processor, 0) for processor in sorted({*one, *other})}

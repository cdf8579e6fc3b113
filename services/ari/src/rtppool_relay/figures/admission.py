"""Admission control: refuse a call where one more would break its tier because this relay is overloaded.

A closed slice is five seconds old, so admission evaluates the last open seconds, which hold every answered packet.
Residence is the media loop's lag: it runs from the kernel's receive stamps. Only delay that the relay causes counts,
and only where it lasts: a hiccup spoils single seconds, an overload spoils every second. Lateness must also exceed
its limit over the SLA's whole window: one bad moment in a good window refuses no call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import microseconds_up, parts_per_million
from rtppool_relay.figures.sla import select_tier

WINDOW_SECONDS = 4
MIN_SECONDS = 3
# Independent of the limits: on a busy node a few calls always have a late packet or two.
MIN_PACKETS = 1_000
MIN_LATE = 10
EVALUATIONS_TO_REFUSE = 2
GOOD_SECONDS_TO_ACCEPT = 5
P99_PER_MILLE = 990


@dataclass(slots=True)
class _Load:
    """Figures of the packets sent in one second or in several."""

    packets: int = 0
    late_relay: int = 0
    round_trip: Histogram = field(default_factory=Histogram)
    residence: Histogram = field(default_factory=Histogram)

    def add(self, packets: int, late_relay: int, round_trip: Histogram, residence: Histogram) -> None:
        self.packets += packets
        self.late_relay += late_relay
        self.round_trip.merge(round_trip)
        self.residence.merge(residence)

    def describe_lateness(self, limits: SlaLimits) -> str | None:
        """Compare the packets late by the relay alone with the limit for relay and echo together."""
        late_ppm = parts_per_million(self.late_relay, self.packets)
        if late_ppm is None or late_ppm <= limits.max_late_ppm or self.late_relay < MIN_LATE:
            return None
        return f"the relay made {late_ppm} ppm of packets late, accepted is {limits.max_late_ppm}"

    def describe_slowness(self, active_calls: int, limits: SlaLimits) -> str | None:
        """Compare residence and round trip with the tier's p99, where residence is the larger part."""
        tier, _ = select_tier(limits, active_calls)
        round_trip = microseconds_up(self.round_trip.quantile_ns(P99_PER_MILLE))
        residence = microseconds_up(self.residence.quantile_ns(P99_PER_MILLE))
        if tier is None or round_trip is None or residence is None:
            return None
        if residence <= round_trip or residence + round_trip <= tier.p99_microseconds:
            return None
        return (
            f"the p99 of the relay's own time is {residence} µs and of the round trip {round_trip} µs, "
            f"accepted for {active_calls} calls is {tier.p99_microseconds} µs together"
        )

    def describe_breach(self, active_calls: int, limits: SlaLimits) -> str | None:
        return self.describe_lateness(limits) or self.describe_slowness(active_calls, limits)


class AdmissionControl:
    """Figures of the last seconds, evaluated once a second, and the refusal that follows from them.

    Refusals start after two bad evaluations in a row. They end after five good seconds, or at once when there are
    fewer round trips than a verdict needs: a relay without calls accepts calls again.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, _Load] = {}
        # Packets, and packets late by the relay, of each second of the SLA's window.
        self._late: dict[int, tuple[int, int]] = {}
        self._evaluated: int | None = None
        self._bad = 0
        self._good = 0
        self._refusal: str | None = None

    @property
    def refusal(self) -> str | None:
        """The reason to refuse a call, as a sentence; None while calls are accepted."""
        return self._refusal

    def add(self, second: int, packets: int, late_relay: int, round_trip: Histogram, residence: Histogram) -> None:
        """Add figures of the calls' packets that were sent in a second (Unix time)."""
        self._seconds.setdefault(second, _Load()).add(packets, late_relay, round_trip, residence)
        packets_before, late_before = self._late.get(second, (0, 0))
        self._late[second] = packets_before + packets, late_before + late_relay

    def evaluate(self, now_second: int, active_calls: int, limits: SlaLimits) -> None:
        """Evaluate the last whole seconds before `now_second`, once for each second."""
        if now_second == self._evaluated:
            return
        self._evaluated = now_second
        self._forget(now_second, limits.window_seconds)
        window = [load for second, load in self._seconds.items() if _is_in_window(second, now_second)]
        samples = sum(load.round_trip.count for load in window)
        if sum(load.packets for load in window) < MIN_PACKETS or samples < limits.min_samples:
            self._bad = self._good = 0
            self._refusal = None
            return
        breach = self._lasting_breach(window, active_calls + 1, limits)
        self._bad = self._bad + 1 if breach else 0
        self._good = 0 if self._is_bad(now_second - 1, active_calls + 1, limits) else self._good + 1
        if self._good >= GOOD_SECONDS_TO_ACCEPT:
            self._refusal = None
        elif breach and (self._bad >= EVALUATIONS_TO_REFUSE or self._refusal is not None):
            self._refusal = f"one call more would break its tier: in the last {WINDOW_SECONDS} s {breach}"

    def _is_bad(self, second: int, calls: int, limits: SlaLimits) -> bool:
        load = self._seconds.get(second)
        return load is not None and load.describe_breach(calls, limits) is not None

    def _lasting_breach(self, window: Sequence[_Load], calls: int, limits: SlaLimits) -> str | None:
        lasts = len(window) >= MIN_SECONDS and all(load.describe_breach(calls, limits) for load in window)
        if not lasts:
            return None
        pooled = _pool(window)
        lateness = pooled.describe_lateness(limits) if self._is_window_late(limits) else None
        return lateness or pooled.describe_slowness(calls, limits)

    def _is_window_late(self, limits: SlaLimits) -> bool:
        """Return whether the relay alone exceeds the limit of late packets over the SLA's window."""
        packets = sum(packets for packets, _ in self._late.values())
        late_ppm = parts_per_million(sum(late for _, late in self._late.values()), packets)
        return late_ppm is not None and late_ppm > limits.max_late_ppm

    def _forget(self, now_second: int, window_seconds: int) -> None:
        """Drop old seconds, and seconds ahead of a clock that stepped back."""
        self._seconds = {each: load for each, load in self._seconds.items() if abs(now_second - each) <= WINDOW_SECONDS}
        self._late = {each: late for each, late in self._late.items() if abs(now_second - each) <= window_seconds}


def _pool(loads: Iterable[_Load]) -> _Load:
    pooled = _Load()
    for load in loads:
        pooled.add(load.packets, load.late_relay, load.round_trip, load.residence)
    return pooled


def _is_in_window(second: int, now_second: int) -> bool:
    return now_second - WINDOW_SECONDS <= second < now_second

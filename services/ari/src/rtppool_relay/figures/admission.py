"""Whether one call more would break its tier because this relay is at the end of its strength. Pure.

A closed slice is five seconds old; this looks at the last open ones, which hold every answered packet. Residence is
the media loop's lag: it runs from the kernel's receive stamps. Only what the relay itself is to blame for counts, and
only where it goes on: hiccups spoil a second here and there, a relay without strength every one. Lateness must also
have spoilt the window that the SLA is judged by: a bad moment of an hour that is kept refuses nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import microseconds_up
from rtppool_relay.figures.sla import parts_per_million, select_tier

WINDOW_SECONDS = 4
MIN_SECONDS = 3
# Whatever the limits say: on a busy node a handful of calls always has a packet or two that is late.
MIN_PACKETS = 1_000
MIN_LATE = 10
EVALUATIONS_TO_REFUSE = 2
GOOD_SECONDS_TO_ACCEPT = 5
P99_PER_MILLE = 990


@dataclass(slots=True)
class _Load:
    """Packets sent in a second, or in several."""

    packets: int = 0
    late_relay: int = 0
    round_trip: Histogram = field(default_factory=Histogram)
    residence: Histogram = field(default_factory=Histogram)

    def add(self, packets: int, late_relay: int, round_trip: Histogram, residence: Histogram) -> None:
        self.packets += packets
        self.late_relay += late_relay
        self.round_trip.merge(round_trip)
        self.residence.merge(residence)

    def too_late(self, limits: SlaLimits) -> str | None:
        """More packets late by the relay alone than relay and echo together may have."""
        late_ppm = parts_per_million(self.late_relay, self.packets)
        if late_ppm is None or late_ppm <= limits.max_late_ppm or self.late_relay < MIN_LATE:
            return None
        return f"the relay made {late_ppm} ppm of packets late, accepted is {limits.max_late_ppm}"

    def too_slow(self, active_calls: int, limits: SlaLimits) -> str | None:
        """A p99 above the tier's, of which the relay's own time is the largest part."""
        tier, _ = select_tier(limits, active_calls)
        round_trip = microseconds_up(self.round_trip.quantile_ns(P99_PER_MILLE))
        residence = microseconds_up(self.residence.quantile_ns(P99_PER_MILLE))
        if tier is None or round_trip is None or residence is None:
            return None
        if residence <= round_trip or residence + round_trip <= tier.p99_microseconds:
            return None
        return (
            f"p99 of the relay's own time is {residence} µs beside a round trip of {round_trip} µs, "
            f"accepted for {active_calls} calls is {tier.p99_microseconds} µs together"
        )

    def breach(self, active_calls: int, limits: SlaLimits) -> str | None:
        return self.too_late(limits) or self.too_slow(active_calls, limits)


class Headroom:
    """Feed it every collection's figures, evaluate once a second, and ask for `refusal`.

    It begins to refuse after two evaluations running that show too little strength. It accepts again after five good
    seconds, or at once when there are fewer packets than a verdict needs: it never stays shut for want of calls.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, _Load] = {}
        # Packets, and those late by the relay, of every second of the SLA's window.
        self._late: dict[int, tuple[int, int]] = {}
        self._evaluated: int | None = None
        self._bad = 0
        self._good = 0
        self._refusal: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why no call is to be taken, as a sentence; None when there is room."""
        return self._refusal

    def take(self, second: int, packets: int, late_relay: int, round_trip: Histogram, residence: Histogram) -> None:
        """Add figures of calls' packets that were sent in a second (Unix time)."""
        self._seconds.setdefault(second, _Load()).add(packets, late_relay, round_trip, residence)
        packets_before, late_before = self._late.get(second, (0, 0))
        self._late[second] = packets_before + packets, late_before + late_relay

    def evaluate(self, now_second: int, active_calls: int, limits: SlaLimits) -> None:
        """Look at the last whole seconds before `now_second`; a second is evaluated once."""
        if now_second == self._evaluated:
            return
        self._evaluated = now_second
        self._forget(now_second, limits.window_seconds)
        pooled = self._pooled(now_second)
        if pooled.packets < max(limits.min_samples, MIN_PACKETS):
            self._bad = self._good = 0
            self._refusal = None
            return
        breach = self._lasting_breach(now_second, pooled, active_calls + 1, limits)
        self._bad = self._bad + 1 if breach else 0
        self._good = 0 if self._is_bad(now_second - 1, active_calls + 1, limits) else self._good + 1
        if self._good >= GOOD_SECONDS_TO_ACCEPT:
            self._refusal = None
        elif breach and (self._bad >= EVALUATIONS_TO_REFUSE or self._refusal is not None):
            self._refusal = f"one call more would break its tier: in the last {WINDOW_SECONDS} s {breach}"

    def _is_bad(self, second: int, calls: int, limits: SlaLimits) -> bool:
        load = self._seconds.get(second)
        return load is not None and load.breach(calls, limits) is not None

    def _lasting_breach(self, now_second: int, pooled: _Load, calls: int, limits: SlaLimits) -> str | None:
        window = [load for second, load in self._seconds.items() if _is_in_window(second, now_second)]
        lasts = len(window) >= MIN_SECONDS and all(load.breach(calls, limits) for load in window)
        if not lasts:
            return None
        return (pooled.too_late(limits) if self._spoilt(limits) else None) or pooled.too_slow(calls, limits)

    def _spoilt(self, limits: SlaLimits) -> bool:
        """Whether the relay alone has made more packets of the SLA's window late than may be."""
        packets = sum(packets for packets, _ in self._late.values())
        late_ppm = parts_per_million(sum(late for _, late in self._late.values()), packets)
        return late_ppm is not None and late_ppm > limits.max_late_ppm

    def _pooled(self, now_second: int) -> _Load:
        pooled = _Load()
        for second, load in self._seconds.items():
            if _is_in_window(second, now_second):
                pooled.add(load.packets, load.late_relay, load.round_trip, load.residence)
        return pooled

    def _forget(self, now_second: int, window_seconds: int) -> None:
        """A step of the clock may have left seconds on either side."""
        self._seconds = {each: load for each, load in self._seconds.items() if abs(now_second - each) <= WINDOW_SECONDS}
        self._late = {each: late for each, late in self._late.items() if abs(now_second - each) <= window_seconds}


def _is_in_window(second: int, now_second: int) -> bool:
    return now_second - WINDOW_SECONDS <= second < now_second

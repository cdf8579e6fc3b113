"""Port leases of one range: least recently used first, with rest, quarantine and live resize.

Free and resting ports are deques in the order of their next lease; leases and quarantine are dicts by port. Times are
arguments, in monotonic seconds. Binding is the caller's work, and so is calling from one thread only.

`total = free + leased + resting + quarantined` at all times. Excluded ports, and leases outside the current range
(draining), are not in `total`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import PortsReport, Quarantine

MIN_REST_SECONDS = 2.0
MAX_REPORTED_QUARANTINE = 16
# A map of more ports than these shows nothing, and costs time.
MAX_MAPPED_PORTS = 2048

PortUse = Literal["free", "leased", "resting", "quarantined", "excluded", "draining"]


class PortsExhausted(Exception):  # noqa: N818 an ordinary answer under load, not an error
    """No port is free, and none has rested long enough."""


@dataclass(frozen=True, slots=True)
class _Rest:
    port: int
    since_seconds: float


class PortManager:
    """The ports of one range and their leases."""

    def __init__(
        self, ports: PortRange, excluded: frozenset[int] = frozenset(), reuse_delay_seconds: float = 5.0
    ) -> None:
        self._range = ports
        self._excluded = excluded
        self._reuse_delay_seconds = reuse_delay_seconds
        self._leased: dict[int, int] = {}
        # Leased ports that new calls would not get.
        self._outside: set[int] = set()
        self._free = deque(port for port in ports if port not in excluded)
        self._resting: deque[_Rest] = deque()
        self._quarantined: dict[int, str] = {}
        self._held: frozenset[int] = frozenset()
        self._probe_port: int | None = None
        self._reused_early = 0
        self._lease_count = 0
        self._leaked = 0

    @property
    def range(self) -> PortRange:
        """The range of new leases."""
        return self._range

    @property
    def probe_port(self) -> int | None:
        """The port lent to the probe; it counts as free."""
        return self._probe_port

    def lease(self, now_seconds: float) -> int:
        """Lease the port that has been free longest. The probe's port comes last.

        Raises:
            PortsExhausted: no port is free, and none has rested for `MIN_REST_SECONDS`.
        """
        self._end_rests(now_seconds)
        port = self._pop_free() or self._pop_rested(now_seconds) or self._pop_probe_port()
        if port is None:
            raise PortsExhausted(f"all {self._total()} ports of {self._range} are leased, resting or quarantined")
        self._add_lease(port)
        return port

    def hold(self, ports: frozenset[int]) -> None:
        """Lease these ports to no new call, until the next `hold`: calls in Asterisk send to them."""
        self._held = ports

    def lease_exactly(self, port: int) -> bool:
        """Lease this port for a call that already runs on it; return False when it is leased.

        A port outside the range, or an excluded one, is leased as draining: the range changed during the call.
        """
        if port in self._leased:
            return False
        self._remove(port)
        self._add_lease(port)
        return True

    def release(self, port: int, now_seconds: float, *, rests: bool = True) -> None:
        """End a lease. The port `rests` where late packets may arrive. Without a lease nothing changes."""
        self._outside.discard(port)
        if self._leased.pop(port, None) is None or not self._is_usable(port):
            return
        if rests:
            self._resting.append(_Rest(port, now_seconds))
        else:
            self._add_free(port)

    def take_back(self, port: int, lease: int) -> bool:
        """Count a lease without an owner as leaked; return False where the port has another lease, or none.

        The lease stays until `release`, so that the caller can close its sockets first.
        """
        if self._leased.get(port) != lease:
            return False
        self._leaked += 1
        return True

    def leased(self) -> dict[int, int]:
        """Return the number of each leased port's lease. No two leases have the same number."""
        return dict(self._leased)

    def is_leased(self, port: int) -> bool:
        """Return whether the port is leased."""
        return port in self._leased

    def quarantine(self, port: int, reason: str) -> bool:
        """Set aside a port that failed to bind; return False and change nothing when it is leased."""
        if port in self._leased:
            return False
        self._remove(port)
        if self._is_usable(port):
            self._quarantined[port] = reason
        return True

    def restore(self, port: int) -> None:
        """End a quarantine: the port becomes the last of the free ones."""
        if self._quarantined.pop(port, None) is not None:
            self._free.append(port)

    def lend_to_probe(self) -> int | None:
        """Return the free port that is last in line, reserved for the probe, or None. It stays free."""
        if self._probe_port is None and self._free:
            self._probe_port = self._free[-1]
        return self._probe_port

    def end_probe(self) -> None:
        """End the probe's reservation."""
        self._probe_port = None

    def resize(self, ports: PortRange, excluded: frozenset[int], reuse_delay_seconds: float) -> None:
        """Lease from another range from now on. Leases outside it stay."""
        self._range, self._excluded, self._reuse_delay_seconds = ports, excluded, reuse_delay_seconds
        self._resting = deque(rest for rest in self._resting if self._is_usable(rest.port))
        self._quarantined = {port: reason for port, reason in self._quarantined.items() if self._is_usable(port)}
        self._free = deque(port for port in self._free if self._is_usable(port))
        self._outside = {port for port in self._leased if not self._is_usable(port)}
        known = {*self._free, *self._quarantined, *self._leased, *(rest.port for rest in self._resting)}
        self._free.extend(port for port in ports if port not in excluded and port not in known)
        if self._probe_port is not None and not self._is_usable(self._probe_port):
            self._probe_port = None

    def unleased(self) -> list[int]:
        """Return the ports for trial binds: free ones without the probe's, then quarantined ones."""
        return [port for port in (*self._free, *self._quarantined) if port != self._probe_port]

    def quarantined(self) -> list[int]:
        """Return the quarantined ports."""
        return list(self._quarantined)

    def report(self) -> PortsReport:
        """Return the current counts."""
        quarantine = sorted(self._quarantined.items())[:MAX_REPORTED_QUARANTINE]
        return PortsReport(
            range=str(self._range),
            total=self._total(),
            free=len(self._free),
            leased=len(self._leased) - len(self._outside),
            resting=len(self._resting),
            quarantined=len(self._quarantined),
            excluded=len([port for port in self._excluded if port in self._range]),
            draining=len(self._outside),
            reused_early=self._reused_early,
            quarantine=tuple(Quarantine(port, reason) for port, reason in quarantine),
            leaked=self._leaked,
        )

    def map(self) -> list[tuple[PortUse, int]] | None:
        """Return the use of the range's ports in order, as runs of equal ports; None for a range that is too wide."""
        if len(self._range) > MAX_MAPPED_PORTS:
            return None
        resting = {rest.port for rest in self._resting}
        runs: list[tuple[PortUse, int]] = []
        for port in self._range:
            use = self._use(port, resting)
            if runs and runs[-1][0] == use:
                runs[-1] = use, runs[-1][1] + 1
            else:
                runs.append((use, 1))
        return runs

    def draining(self) -> list[int]:
        """Return the leased ports outside the range."""
        return sorted(self._outside)

    def _use(self, port: int, resting: set[int]) -> PortUse:
        if port in self._leased:
            return "leased" if port not in self._excluded else "draining"
        if port in self._excluded:
            return "excluded"
        if port in self._quarantined:
            return "quarantined"
        return "resting" if port in resting else "free"

    def _total(self) -> int:
        return len(self._range) - len([port for port in self._excluded if port in self._range])

    def _is_usable(self, port: int) -> bool:
        """Return whether the port belongs to the current range."""
        return port in self._range and port not in self._excluded

    def _add_lease(self, port: int) -> None:
        self._lease_count += 1
        self._leased[port] = self._lease_count
        if not self._is_usable(port):
            self._outside.add(port)

    def _end_rests(self, now_seconds: float) -> None:
        while self._resting and now_seconds - self._resting[0].since_seconds >= self._reuse_delay_seconds:
            self._add_free(self._resting.popleft().port)

    def _add_free(self, port: int) -> None:
        """Add a free port. The probe's port stays last in line."""
        at = len(self._free) - 1 if self._probe_port is not None else len(self._free)
        self._free.insert(at, port)

    def _pop_free(self) -> int | None:
        port = next((port for port in self._free if port != self._probe_port and port not in self._held), None)
        if port is not None:
            self._free.remove(port)
        return port

    def _pop_rested(self, now_seconds: float) -> int | None:
        for rest in self._resting:
            if now_seconds - rest.since_seconds < MIN_REST_SECONDS:
                return None
            if rest.port not in self._held:
                self._reused_early += 1
                self._resting.remove(rest)
                return rest.port
        return None

    def _pop_probe_port(self) -> int | None:
        if self._probe_port is None or self._probe_port in self._held:
            return None
        port, self._probe_port = self._probe_port, None
        self._free.remove(port)
        return port

    def _remove(self, port: int) -> None:
        if port in self._free:
            self._free.remove(port)
        self._resting = deque(rest for rest in self._resting if rest.port != port)
        self._quarantined.pop(port, None)
        if self._probe_port == port:
            self._probe_port = None

"""Who has which port: a bitset under a lock, least recently used first, with rest, quarantine and live resize.

Pure: the time is an argument (monotonic seconds), and binding is the caller's. `total = free + leased + resting +
quarantined` at all times; excluded ports and leases outside the current range (draining) are not in total.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import PortsReport, Quarantine

MIN_REST_SECONDS = 2.0


class PortsExhausted(Exception):  # noqa: N818 running out is an ordinary answer under load
    """No port is free and none has rested long enough."""


@dataclass(frozen=True, slots=True)
class _Rest:
    port: int
    since_seconds: float


class PortManager:
    """Leases ports of one range. Every method may be called from any thread."""

    def __init__(
        self, ports: PortRange, excluded: frozenset[int] = frozenset(), reuse_delay_seconds: float = 5.0
    ) -> None:
        self._lock = threading.Lock()
        self._range = ports
        self._excluded = excluded
        self._reuse_delay_seconds = reuse_delay_seconds
        # Each lease has a number of its own, so that two of one port are told apart.
        self._leased: dict[int, int] = {}
        self._free = deque(port for port in ports if port not in excluded)
        self._resting: deque[_Rest] = deque()
        self._quarantined: dict[int, str] = {}
        self._probe_port: int | None = None
        self._reused_early = 0
        self._leases = 0
        self._leaked = 0

    @property
    def range(self) -> PortRange:
        """The range that new leases come from."""
        return self._range

    @property
    def probe_port(self) -> int | None:
        """The port lent to the probe; it counts as free."""
        return self._probe_port

    def lease(self, now_seconds: float) -> int:
        """Take the port that has been free longest; the probe's only when no other is left.

        Raises:
            PortsExhausted: nothing is free and nothing has rested for 2 s.
        """
        with self._lock:
            self._wake(now_seconds)
            port = self._next_free()
            if port is None:
                port = self._longest_rested(now_seconds)
            if port is None:
                port = self._probe_port
                self._probe_port = None
                if port is not None:
                    self._free.remove(port)
            if port is None:
                raise PortsExhausted(f"all {self._total()} ports of {self._range} are leased, resting or quarantined")
            self._hold(port)
            return port

    def lease_exactly(self, port: int) -> bool:
        """Take this port, for a call that already runs on it; False when it is leased.

        A port outside the range, or an excluded one, is leased as one that drains: the range changed during the call.
        """
        with self._lock:
            if self._is_leased(port):
                return False
            self._forget(port)
            self._hold(port)
            return True

    def release(self, port: int, now_seconds: float) -> None:
        """Give a lease back; the port rests. Giving back what isn't leased does nothing."""
        with self._lock:
            if not self._is_leased(port):
                return
            self._let_go(port)
            if port in self._range and port not in self._excluded:
                self._resting.append(_Rest(port, now_seconds))

    def take_back(self, port: int, number: int) -> bool:
        """Count a lease whose holder is lost as leaked; False where it is not this lease any more.

        It is still to be released, when its sockets are closed.
        """
        with self._lock:
            if self._leased.get(port) != number:
                return False
            self._leaked += 1
            return True

    def leased(self) -> dict[int, int]:
        """The leased ports, each with its lease's number: a port that is leased again has another."""
        with self._lock:
            return dict(self._leased)

    def is_leased(self, port: int) -> bool:
        """Whether somebody has the port now."""
        with self._lock:
            return self._is_leased(port)

    def quarantine_unleased(self, port: int, reason: str) -> bool:
        """Set a port aside that would not bind. A leased one stays its holder's, and the answer is False."""
        with self._lock:
            if self._is_leased(port):
                return False
            self._set_aside(port, reason)
            return True

    def quarantine_lease(self, port: int, reason: str) -> None:
        """For the holder of a lease: the port would not bind, so it is set aside and leased no more."""
        with self._lock:
            self._let_go(port)
            self._set_aside(port, reason)

    def restore(self, port: int) -> None:
        """A quarantined port binds again: last in the line of free ones."""
        with self._lock:
            if self._quarantined.pop(port, None) is not None:
                self._free.append(port)

    def lend_to_probe(self) -> int | None:
        """The free port that would be leased last, or None. It stays free."""
        with self._lock:
            if self._probe_port is None and self._free:
                self._probe_port = self._free[-1]
            return self._probe_port

    def end_probe(self) -> None:
        """The probe's port is an ordinary free one again."""
        with self._lock:
            self._probe_port = None

    def resize(self, ports: PortRange, excluded: frozenset[int], reuse_delay_seconds: float) -> None:
        """Lease from another range from now on. Leases outside it live on."""
        with self._lock:
            usable = [port for port in ports if port not in excluded]
            self._range, self._excluded, self._reuse_delay_seconds = ports, excluded, reuse_delay_seconds
            inside = set(usable)
            self._resting = deque(rest for rest in self._resting if rest.port in inside)
            self._quarantined = {port: why for port, why in self._quarantined.items() if port in inside}
            elsewhere = {rest.port for rest in self._resting} | set(self._quarantined)
            kept = [port for port in self._free if port in inside]
            known = set(kept) | elsewhere
            self._free = deque(kept + [port for port in usable if port not in known and not self._is_leased(port)])
            if self._probe_port not in inside:
                self._probe_port = None

    def unleased(self) -> list[int]:
        """Ports that a trial bind may try: free (but the probe's) and quarantined ones."""
        with self._lock:
            return [port for port in (*self._free, *self._quarantined) if port != self._probe_port]

    def quarantined(self) -> list[int]:
        """Ports that would not bind."""
        with self._lock:
            return list(self._quarantined)

    def report(self) -> PortsReport:
        """The counts, taken at one moment."""
        with self._lock:
            leased_inside = sum(1 for port in self._range if self._is_leased(port) and port not in self._excluded)
            return PortsReport(
                range=str(self._range),
                total=self._total(),
                free=len(self._free),
                leased=leased_inside,
                resting=len(self._resting),
                quarantined=len(self._quarantined),
                excluded=len([port for port in self._excluded if port in self._range]),
                draining=len(self._leased) - leased_inside,
                reused_early=self._reused_early,
                quarantine=tuple(Quarantine(port, why) for port, why in sorted(self._quarantined.items())[:16]),
                leaked=self._leaked,
            )

    def _total(self) -> int:
        return len(self._range) - len([port for port in self._excluded if port in self._range])

    def _is_leased(self, port: int) -> bool:
        return port in self._leased

    def _hold(self, port: int) -> None:
        self._leases += 1
        self._leased[port] = self._leases

    def _let_go(self, port: int) -> None:
        self._leased.pop(port, None)

    def _set_aside(self, port: int, reason: str) -> None:
        self._forget(port)
        if port in self._range and port not in self._excluded:
            self._quarantined[port] = reason

    def _wake(self, now_seconds: float) -> None:
        while self._resting and now_seconds - self._resting[0].since_seconds >= self._reuse_delay_seconds:
            # The probe's port stays last in line.
            at = len(self._free) - 1 if self._probe_port is not None else len(self._free)
            self._free.insert(at, self._resting.popleft().port)

    def _next_free(self) -> int | None:
        for port in self._free:
            if port != self._probe_port:
                self._free.remove(port)
                return port
        return None

    def _longest_rested(self, now_seconds: float) -> int | None:
        if self._resting and now_seconds - self._resting[0].since_seconds >= MIN_REST_SECONDS:
            self._reused_early += 1
            return self._resting.popleft().port
        return None

    def _forget(self, port: int) -> None:
        if port in self._free:
            self._free.remove(port)
        self._resting = deque(rest for rest in self._resting if rest.port != port)
        self._quarantined.pop(port, None)
        if self._probe_port == port:
            self._probe_port = None

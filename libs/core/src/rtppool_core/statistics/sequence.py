"""Statistics of one RTP stream by RFC 3550: sequence validation (A.1), loss (A.3), jitter (A.8).

Pure: arrival times are arguments, in ns. The stand-in, the probe and the tests use these; the relay computes the
same figures over rows in batches, and its tests hold the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from rtppool_core.rtp.serial import SEQUENCE_MODULUS, timestamp_difference

MAX_DROPOUT = 3000
MAX_MISORDER = 100
MIN_SEQUENTIAL = 2


class Validity(Enum):
    """What RFC 3550 A.1 makes of a packet."""

    VALID = "valid"
    PROBATION = "probation"
    BAD = "bad"
    RESTARTED = "restarted"


@dataclass(slots=True)
class SequenceTracker:
    """RFC 3550 A.1 `update_seq`, and the counts of A.3.

    Probation compares modulo 2^16: the RFC's C code doesn't, so there a source that starts at 65535, 0 starts again.
    """

    base: int = 0
    highest: int = 0
    cycles: int = 0
    received: int = 0
    probation: int = MIN_SEQUENTIAL
    _bad: int | None = None
    _started: bool = False

    @property
    def extended_highest(self) -> int:
        """Highest sequence number with its cycles, as A.3 defines it."""
        return self.cycles + self.highest

    @property
    def expected(self) -> int:
        """Packets expected since the base (A.3)."""
        return self.extended_highest - self.base + 1 if self.probation == 0 else 0

    @property
    def lost(self) -> int:
        """Expected less received; below zero with duplicates (A.3)."""
        return self.expected - self.received

    def update(self, sequence: int) -> Validity:
        """Take the next packet's 16-bit number."""
        if not self._started:
            self._started = True
            self.highest = (sequence - 1) % SEQUENCE_MODULUS
        if self.probation > 0:
            return self._in_probation(sequence)
        return self._in_sequence(sequence)

    def _in_probation(self, sequence: int) -> Validity:
        if sequence == (self.highest + 1) % SEQUENCE_MODULUS:
            self.probation -= 1
            self.highest = sequence
            if self.probation == 0:
                self._restart(sequence)
                self.received = 1
                return Validity.VALID
            return Validity.PROBATION
        self.probation = MIN_SEQUENTIAL - 1
        self.highest = sequence
        return Validity.PROBATION

    def _in_sequence(self, sequence: int) -> Validity:
        ahead = (sequence - self.highest) % SEQUENCE_MODULUS
        if ahead < MAX_DROPOUT:
            if sequence < self.highest:
                self.cycles += SEQUENCE_MODULUS
            self.highest = sequence
        elif ahead <= SEQUENCE_MODULUS - MAX_MISORDER:
            if sequence != self._bad:
                self._bad = (sequence + 1) % SEQUENCE_MODULUS
                return Validity.BAD
            self._restart(sequence)
            self.received = 1
            return Validity.RESTARTED
        self.received += 1
        return Validity.VALID

    def _restart(self, sequence: int) -> None:
        self.base = sequence
        self.highest = sequence
        self.cycles = 0
        self.received = 0
        self._bad = None


def loss_fraction_256(expected: int, lost: int) -> int:
    """The fraction lost of one interval in 1/256, as a report block carries it (RFC 3550 6.4.1, A.3)."""
    return 0 if expected == 0 or lost <= 0 else (lost << 8) // expected


@dataclass(slots=True)
class Jitter:
    """Interarrival jitter (RFC 3550 6.4.1, A.8), in ticks of the RTP clock, over packets in arrival order."""

    clock_rate_hz: int = 8000
    ticks: float = 0.0
    _last: tuple[int, int] | None = field(default=None)

    def update(self, arrival_ns: int, timestamp: int) -> None:
        """Take the next packet's arrival (ns, any epoch) and RTP timestamp."""
        if self._last is not None:
            arrived_ns, stamped = self._last
            transit = (arrival_ns - arrived_ns) * self.clock_rate_hz / 1e9 - timestamp_difference(timestamp, stamped)
            self.ticks += (abs(transit) - self.ticks) / 16
        self._last = (arrival_ns, timestamp)

    def restart(self) -> None:
        """Forget the last packet (new SSRC, or a timestamp jump) but keep the estimate."""
        self._last = None

    @property
    def microseconds(self) -> float:
        """The estimate in µs."""
        return self.ticks * 1e6 / self.clock_rate_hz

"""A range of UDP ports, both ends included."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rtppool_core.contract.codec import Contract

MIN_PORT = 1024
MAX_PORT = 65535
MAX_PORTS = 4096
ACCEPTED = (
    f"FIRST-LAST, two ports from {MIN_PORT} to {MAX_PORT}, FIRST not above LAST, "
    f"at most {MAX_PORTS} ports (for example 10000-10100)"
)
# Ports from 1024 up whose services answer strangers, so that a forged sender would start an endless exchange. The list
# follows CISA's alert TA14-017A (UDP-based amplification), extended by SIP and its relatives. Services that ignore
# strangers are absent, because each port here is lost to calls: the echo answers none, and the relay leases none.
REFLECTOR_PORTS = frozenset(
    {
        1434,  # Microsoft SQL Server browser: answers a single byte with its instances
        1900,  # SSDP: answers a search with a packet for each service
        3283,  # Apple remote management: answers a short question with a kilobyte
        3478,  # STUN and TURN: answers a binding request from anyone
        3702,  # WS-Discovery: answers nearly anything with a SOAP fault
        4500,  # IKE behind NAT: repeats its answer to a first message
        5060,  # SIP: answers malformed requests with 400, and repeats the answer
        5351,  # NAT-PMP: answers any version with a refusal
        5353,  # multicast DNS: many answer unicast questions from anywhere
        5683,  # CoAP: answers unknown messages with a reset
        11211,  # memcached: answers a few bytes with a megabyte
    }
)


class PortRangeError(ValueError):
    """Invalid text or numbers of a range. The message names the accepted values."""


class PortRange(Contract, frozen=True, order=True):
    """`start` to `end`, both included. JSON: `{"start": 10000, "end": 10100}`."""

    start: int
    end: int

    def __post_init__(self) -> None:
        """Reject ranges that no relay can use.

        Raises:
            PortRangeError: an end outside 1024-65535, reversed, or too many ports.
        """
        if not (MIN_PORT <= self.start <= self.end <= MAX_PORT and self.end - self.start < MAX_PORTS):
            raise PortRangeError(f"{self.start}-{self.end} is no port range; accepted is {ACCEPTED}")

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """Read `10000-10100`.

        Raises:
            PortRangeError: not two numbers, or no usable range.
        """
        match = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", text, re.ASCII)
        if match is None:
            raise PortRangeError(f"{text!r} is no port range; accepted is {ACCEPTED}")
        return cls(int(match[1]), int(match[2]))

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.start <= port <= self.end

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.end + 1))

    def __len__(self) -> int:
        return self.end - self.start + 1

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

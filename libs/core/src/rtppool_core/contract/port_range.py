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
# Ports from 1024 up whose services answer strangers, so that a forged sender would set the two talking: from CISA's
# alert TA14-017A (UDP-based amplification), and what stands beside SIP. Services that stay silent to strangers are not
# here: a port that is refused is lost to calls. The echo answers none of these, so the relay leases none to a call.
REFLECTOR_PORTS = frozenset(
    {
        1434,  # Microsoft SQL Server browser: answers a single byte with its instances
        1900,  # SSDP: answers a search with a packet for each service
        3283,  # Apple remote management: answers a short question with a kilobyte
        3478,  # STUN and TURN: answers a binding request from anyone
        3702,  # WS-Discovery: answers nearly anything with a SOAP fault
        4500,  # IKE behind NAT: repeats its answer to a first message
        5060,  # SIP: answers what it can't parse with 400, and repeats that
        5351,  # NAT-PMP: answers any version with a refusal
        5353,  # multicast DNS: many answer unicast questions from anywhere
        5683,  # CoAP: answers what it doesn't know with a reset
        11211,  # memcached: answers a few bytes with a megabyte
    }
)


class PortRangeError(ValueError):
    """The text or the numbers are no usable range; the message says what is accepted."""


class PortRange(Contract, frozen=True, order=True):
    """`start` to `end`, both included. JSON: `{"start": 10000, "end": 10100}`."""

    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuse what no relay could use.

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

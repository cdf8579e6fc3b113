"""The limits of each sender: source rules for a new one, a rate for each sender, and one for each address.

Limits hold for one reflecting process. The kernel keeps a sender with one process (SO_REUSEPORT), but spreads the
senders of one address over all processes.
"""

from __future__ import annotations

from typing import Any

from rtppool_echo.rules.rate_limit import NEW_SENDER, admit, take_token
from rtppool_echo.rules.refusals import NOT_REFUSED, REASON_ADDRESS_RATE, REASON_RATE, place_of
from rtppool_echo.rules.source_rules import refusal_of_source
from rtppool_echo.socket_name import ipv4_of, is_ipv4

# Above the number that a flood can hold: a forged sender owes 5 ms at 200 packets/s, and one process reads some 1,000
# datagrams in that time.
MAX_SENDERS = 16_384
# Words of the limits: the echo's port, and the time that a packet costs its sender and its address (0: no limit).
OWN_PORT, STEP_NS, ADDRESS_STEP_NS = range(3)
# The key of an address is made here.
ADDRESS_KEY = 4
LIMITS_WORDS = 8
_RATE = place_of(REASON_RATE)
_ADDRESS_RATE = place_of(REASON_ADDRESS_RATE)
_V4, _V6 = 4, 6


def refusal_of_sender(limits: Any, networks: Any, senders: Any, key: Any, at: int, now_ns: int) -> tuple[int, bool]:
    """Return the place of the reason to refuse a packet at `now_ns`, and whether a new sender passed the source rules.

    The time is monotonic. A packet that is not refused takes a token.
    """
    step_ns = limits[STEP_NS]
    refusal = take_token(senders, key, at, now_ns, step_ns, _RATE)
    if refusal != NEW_SENDER:
        return refusal, False
    refusal = refusal_of_source(key, at, limits[OWN_PORT], networks)
    if refusal != NOT_REFUSED:
        return refusal, False
    return admit(senders, key, at, now_ns, step_ns), True


def refusal_of_address(limits: Any, addresses: Any, key: Any, at: int, now_ns: int) -> int:
    """Return the place of the reason to refuse a packet for the rate of its address, or `NOT_REFUSED`."""
    step_ns = limits[ADDRESS_STEP_NS]
    if step_ns == 0:
        return NOT_REFUSED
    if is_ipv4(key, at):
        limits[ADDRESS_KEY], limits[ADDRESS_KEY + 1], limits[ADDRESS_KEY + 2] = _V4, ipv4_of(key, at), 0
    else:
        limits[ADDRESS_KEY], limits[ADDRESS_KEY + 1], limits[ADDRESS_KEY + 2] = _V6, key[at + 1], key[at + 2]
    refusal = take_token(addresses, limits, ADDRESS_KEY, now_ns, step_ns, _ADDRESS_RATE)
    return admit(addresses, limits, ADDRESS_KEY, now_ns, step_ns) if refusal == NEW_SENDER else refusal

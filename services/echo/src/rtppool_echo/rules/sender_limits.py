"""Whether a sender's packet is answered: the rules for strangers, then what a sender and an address may have. Pure.

Limits are those of one reflecting process: the kernel keeps a sender with one of them (SO_REUSEPORT), but spreads an
address's senders over all.
"""

from __future__ import annotations

from rtppool_echo.rules.rate_limit import RateLimit
from rtppool_echo.rules.reflection import REASON_ADDRESS_RATE, REASON_RATE, SourceRules, plain_address
from rtppool_echo.rules.socket_name import address_of, port_of


class SenderLimits:
    """`rate` packets per second for each address and port, `rate_per_address` for each address; 0 is no limit.

    `refusal(key, now_ns)` says why a packet that came at `now_ns` (monotonic) is not answered, or None: one of
    `reflection.REASONS`. `key` is the sender's name in the kernel's bytes (`socket_name`).
    """

    def __init__(self, rules: SourceRules, rate: int, rate_per_address: int) -> None:
        self._rules = rules
        self._senders = RateLimit(rate, REASON_RATE, self._refusal_of_stranger)
        self._addresses = RateLimit(rate_per_address, REASON_ADDRESS_RATE, lambda _address: None)
        # The shorter way where it is enough: this runs for every packet.
        self.refusal = self._refusal_of_both if rate_per_address else self._senders.refusal

    def _refusal_of_both(self, key: bytes, now_ns: int) -> str | None:
        refusal = self._senders.refusal(key, now_ns)
        return self._addresses.refusal(plain_address(address_of(key)), now_ns) if refusal is None else refusal

    def _refusal_of_stranger(self, key: bytes) -> str | None:
        return self._rules.refusal(address_of(key), port_of(key))

"""Limits for each sender: token buckets in a table of bounded size.

A bucket is one number, the time until which its sender has paid (the virtual scheduling form of the generic cell rate
algorithm, ITU-T I.371 annex A; a token bucket that holds the tokens of one second). A sender whose paid time has passed
has a full bucket, as a new sender has. Only such senders are forgotten. A flood of forged senders can therefore neither
empty nor refill the bucket of another sender. A flood that forges address and port of one sender empties the bucket of
that sender: without a secret, the two look alike.

Limits hold for one reflecting process. The kernel keeps a sender with one process (SO_REUSEPORT), but spreads the
senders of one address over all processes.
"""

from __future__ import annotations

from collections.abc import Callable

from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.rules.refusals import (
    REASON_ADDRESS_RATE,
    REASON_RATE,
    REASON_TABLE_FULL,
    SourceRules,
    without_mapping,
)

# Above the number that a flood can hold: a forged sender owes 5 ms at 200 packets/s, and one process reads some 1,000
# datagrams in that time.
MAX_SENDERS = 16_384
# More than one for each new sender, so that the table shrinks while it is swept.
SWEPT_PER_NEW_SENDER = 4


class RateLimit:
    """Buckets by key. `per_second` 0 is no limit; `reason` is the refusal of a packet above the limit.

    `refusal_of_new` returns a reason that keeps a new key out of the table. Keys in the table are not checked again.
    """

    def __init__(
        self,
        per_second: int,
        reason: str,
        refusal_of_new: Callable[[bytes], str | None],
        max_senders: int = MAX_SENDERS,
    ) -> None:
        self._step_ns = -(-NS_PER_SECOND // per_second) if per_second else 0
        self._burst_ns = NS_PER_SECOND - self._step_ns
        self._reason = reason
        self._refusal_of_new = refusal_of_new
        self._max_senders = max_senders
        self._paid_until_ns: dict[bytes, int] = {}
        self._to_sweep: list[bytes] = []

    def __len__(self) -> int:
        """Return the number of known senders."""
        return len(self._paid_until_ns)

    def refusal(self, key: bytes, now_ns: int) -> str | None:
        """Return the reason to refuse a packet of `key` that arrived at `now_ns`; None takes a token for it."""
        paid_until_ns = self._paid_until_ns.get(key)
        if paid_until_ns is None:
            return self._add(key, now_ns)
        if paid_until_ns > now_ns:
            if paid_until_ns > now_ns + self._burst_ns:
                return self._reason
            self._paid_until_ns[key] = paid_until_ns + self._step_ns
        else:
            self._paid_until_ns[key] = now_ns + self._step_ns
        return None

    def _add(self, key: bytes, now_ns: int) -> str | None:
        refusal = self._refusal_of_new(key)
        if refusal is not None:
            return refusal
        if len(self._paid_until_ns) >= self._max_senders // 2:
            self._sweep(now_ns)
            if len(self._paid_until_ns) >= self._max_senders:
                return REASON_TABLE_FULL
        self._paid_until_ns[key] = now_ns + self._step_ns
        return None

    def _sweep(self, now_ns: int) -> None:
        """Forget those of the next few senders that owe nothing. The cost does not grow with the table."""
        if not self._to_sweep:
            self._to_sweep = list(reversed(self._paid_until_ns))
        for key in self._to_sweep[-SWEPT_PER_NEW_SENDER:]:
            if self._paid_until_ns.get(key, now_ns) <= now_ns:
                self._paid_until_ns.pop(key, None)
        del self._to_sweep[-SWEPT_PER_NEW_SENDER:]


class SenderLimits:
    """Source rules for new senders, then `rate` packets/s for each sender and `rate_per_address` for each address.

    A rate of 0 is no limit. `refusal(key, now_ns)` returns the reason to refuse a packet that arrived at `now_ns`
    (monotonic), one of `refusals.REASONS`, or None. `key` identifies the sender, and `source_of` returns its packed
    address and port. `on_new` gets the packed address of each new sender that is answered.
    """

    def __init__(
        self,
        rules: SourceRules,
        rate: int,
        rate_per_address: int,
        source_of: Callable[[bytes], tuple[bytes, int]],
        on_new: Callable[[bytes], None] = lambda _address: None,
    ) -> None:
        self._rules = rules
        self._source_of = source_of
        self._on_new = on_new
        self._senders = RateLimit(rate, REASON_RATE, self._refusal_of_new)
        self._addresses = RateLimit(rate_per_address, REASON_ADDRESS_RATE, lambda _address: None)
        # The shorter path where it is enough: this runs for every packet.
        self.refusal = self._refusal_of_both if rate_per_address else self._senders.refusal

    def _refusal_of_both(self, key: bytes, now_ns: int) -> str | None:
        refusal = self._senders.refusal(key, now_ns)
        if refusal is not None:
            return refusal
        address, _port = self._source_of(key)
        return self._addresses.refusal(without_mapping(address), now_ns)

    def _refusal_of_new(self, key: bytes) -> str | None:
        address, port = self._source_of(key)
        refusal = self._rules.refusal(address, port)
        if refusal is None:
            self._on_new(without_mapping(address))
        return refusal

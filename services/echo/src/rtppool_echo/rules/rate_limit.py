"""How much each sender gets: token buckets in a table of bounded size. Pure.

A bucket is one number, the time until which its sender has paid (the virtual scheduling form of the generic cell rate
algorithm, ITU-T I.371 annex A; a token bucket that holds one second's tokens). A sender who has paid until a time that
is past has a full bucket, as a stranger has: forgetting him changes nothing. Only such senders are ever forgotten, so
a flood of forged senders can neither empty nor refill anybody's bucket.
"""

from __future__ import annotations

from collections.abc import Callable

from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.rules.reflection import REASON_TABLE_FULL

# Above what a flood can hold: a forged sender owes 5 ms at 200 packets/s, and one process reads some 1,000 datagrams in
# that time.
MAX_SENDERS = 16_384
# More than one for each newcomer, so that the table shrinks while it is swept.
LOOKED_AT_FOR_A_NEWCOMER = 4


class RateLimit:
    """Buckets by key. `per_second` 0 is no limit; `too_much` is the reason for what exceeds it.

    `refusal_of` judges a key that is not in the table: a reason keeps it out. What is in it, is judged no more.
    """

    def __init__(
        self,
        per_second: int,
        too_much: str,
        refusal_of: Callable[[bytes], str | None],
        most: int = MAX_SENDERS,
    ) -> None:
        self._step_ns = -(-NS_PER_SECOND // per_second) if per_second else 0
        self._burst_ns = NS_PER_SECOND - self._step_ns
        self._too_much = too_much
        self._refusal_of = refusal_of
        self._most = most
        self._paid_until_ns: dict[bytes, int] = {}
        self._to_look_at: list[bytes] = []

    def __len__(self) -> int:
        """How many senders are known."""
        return len(self._paid_until_ns)

    def refusal(self, key: bytes, now_ns: int) -> str | None:
        """Why the packet of `key` that came at `now_ns` is too much, or None: then it is paid for."""
        paid_until_ns = self._paid_until_ns.get(key)
        if paid_until_ns is None:
            return self._refusal_of_newcomer(key, now_ns)
        if paid_until_ns > now_ns:
            if paid_until_ns > now_ns + self._burst_ns:
                return self._too_much
            self._paid_until_ns[key] = paid_until_ns + self._step_ns
        else:
            self._paid_until_ns[key] = now_ns + self._step_ns
        return None

    def _refusal_of_newcomer(self, key: bytes, now_ns: int) -> str | None:
        refusal = self._refusal_of(key)
        if refusal is not None:
            return refusal
        known = len(self._paid_until_ns)
        if known >= self._most // 2:
            self._forget_some(now_ns)
            if len(self._paid_until_ns) >= self._most:
                return REASON_TABLE_FULL
        self._paid_until_ns[key] = now_ns + self._step_ns
        return None

    def _forget_some(self, now_ns: int) -> None:
        """Look at the next few senders and forget those who owe nothing: no pause, however large the table."""
        if not self._to_look_at:
            self._to_look_at = list(reversed(self._paid_until_ns))
        for key in self._to_look_at[-LOOKED_AT_FOR_A_NEWCOMER:]:
            if self._paid_until_ns.get(key, now_ns) <= now_ns:
                self._paid_until_ns.pop(key, None)
        del self._to_look_at[-LOOKED_AT_FOR_A_NEWCOMER:]

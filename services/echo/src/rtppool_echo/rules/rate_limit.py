"""Token buckets in a table of bounded size.

A bucket is one number, the time until which its sender has paid (the virtual scheduling form of the generic cell rate
algorithm, ITU-T I.371 annex A; a token bucket that holds the tokens of one second). A sender whose paid time has passed
has a full bucket, as a new sender has. Only such senders are forgotten. A flood of forged senders can therefore neither
empty nor refill the bucket of another sender. A flood that forges address and port of one sender empties the bucket of
that sender: without a secret, the two look alike.
"""

from __future__ import annotations

from typing import Any

from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.rules.refusals import NOT_REFUSED, REASON_TABLE_FULL, place_of
from rtppool_echo.rules.sender_table import CAPACITY, COUNT, SWEPT, USED, VALUE, add, entry_at, find, remove

# More than one for each new sender, so that the table shrinks while it is swept.
SWEPT_PER_NEW_SENDER = 4
# The result for a sender that is not in the table.
NEW_SENDER = -2
_TABLE_FULL = place_of(REASON_TABLE_FULL)


def packet_cost_ns(per_second: int) -> int:
    """Return the time that one packet costs. 0 packets per second is no limit, and a packet costs nothing then."""
    return -(-NS_PER_SECOND // per_second) if per_second else 0


def take_token(table: Any, key: Any, at: int, now_ns: int, step_ns: int, reason: int) -> int:
    """Take a token for a packet at `now_ns`. Return `NOT_REFUSED`, or `reason` without a token, or `NEW_SENDER`."""
    entry = find(table, key, at)
    if entry == 0:
        return NEW_SENDER
    paid_until_ns = table[entry + VALUE]
    if paid_until_ns > now_ns + NS_PER_SECOND - step_ns:
        return reason
    table[entry + VALUE] = max(paid_until_ns, now_ns) + step_ns
    return NOT_REFUSED


def admit(table: Any, key: Any, at: int, now_ns: int, step_ns: int) -> int:
    """Add a new sender, and take its first token. Return `NOT_REFUSED`, or the reason of a full table."""
    if table[COUNT] >= table[CAPACITY] // 2:
        _sweep(table, now_ns)
    entry = add(table, key, at)
    if entry == 0:
        return _TABLE_FULL
    table[entry + VALUE] = now_ns + step_ns
    return NOT_REFUSED


def _sweep(table: Any, now_ns: int) -> None:
    """Forget those of the next few senders that owe nothing. The cost does not grow with the table."""
    for _ in range(SWEPT_PER_NEW_SENDER):
        entry = entry_at(table, table[SWEPT])
        # The first word of a free entry is 0.
        if table[entry] != 0 and table[entry + VALUE] <= now_ns:
            remove(table, entry)
        table[SWEPT] = (table[SWEPT] + 1) % table[USED]

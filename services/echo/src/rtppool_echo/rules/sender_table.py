"""A table of senders in one array of fixed size: a value for each key.

Senders are linked by the bucket of their hash. The hash is multilinear with secret numbers (Carter and Wegman), so that
forged senders cannot share a bucket on purpose. An entry is known by its place in the array; 0 is none.
"""

from __future__ import annotations

import os
from typing import Any

KEY_WORDS = 4
# The header: capacity, senders, entries that were ever used, the first free one, the next one to sweep, and the ends of
# the list by use. The secret numbers follow, one for each half of a word of a key.
CAPACITY, COUNT, USED, FREE, SWEPT, OLDEST, LATEST = range(7)
SECRETS = 8
HEADER_WORDS = SECRETS + 2 * KEY_WORDS
# An entry: the key, the value, the next one of the bucket, and the neighbours in the list by use.
VALUE, NEXT, OLDER, YOUNGER = range(KEY_WORDS, KEY_WORDS + 4)
ENTRY_WORDS = KEY_WORDS + 4
_HALF_BITS = 32
_HALF = 0xFFFF_FFFF


def table_words(capacity: int) -> int:
    """Return the length of the array."""
    return HEADER_WORDS + capacity * (1 + ENTRY_WORDS)


def begin_table(table: Any, capacity: int) -> None:
    """Prepare an array of zeros."""
    table[CAPACITY] = capacity
    for place in range(SECRETS, HEADER_WORDS):
        table[place] = int.from_bytes(os.urandom(8), "little", signed=True)


def find(table: Any, key: Any, at: int) -> int:
    """Return the entry of the key whose words begin at `key[at]`, or 0."""
    entry = table[_bucket(table, key, at)]
    while entry != 0 and not _has_key(table, entry, key, at):
        entry = table[entry + NEXT]
    return entry  # type: ignore[no-any-return]


def add(table: Any, key: Any, at: int) -> int:
    """Add a key that is not in the table, and return its entry; 0 where the table is full."""
    entry = table[FREE]
    if entry != 0:
        table[FREE] = table[entry + NEXT]
    elif table[USED] < table[CAPACITY]:
        entry = entry_at(table, table[USED])
        table[USED] += 1
    else:
        return 0
    for place in range(KEY_WORDS):
        table[entry + place] = key[at + place]
    bucket = _bucket(table, key, at)
    table[entry + NEXT] = table[bucket]
    table[bucket] = entry
    table[COUNT] += 1
    return entry  # type: ignore[no-any-return]


def remove(table: Any, entry: int) -> None:
    """Remove an entry. Its first word is 0 then, which is that of no key."""
    before = _bucket(table, table, entry)
    if table[before] == entry:
        table[before] = table[entry + NEXT]
    else:
        before = table[before]
        while table[before + NEXT] != entry:
            before = table[before + NEXT]
        table[before + NEXT] = table[entry + NEXT]
    table[entry] = 0
    table[entry + NEXT] = table[FREE]
    table[FREE] = entry
    table[COUNT] -= 1


def entry_at(table: Any, number: int) -> int:
    """Return the entry of this number, which is below the capacity."""
    return HEADER_WORDS + table[CAPACITY] + number * ENTRY_WORDS  # type: ignore[no-any-return]


def _bucket(table: Any, key: Any, at: int) -> int:
    """Return the place of the first entry of a key's bucket."""
    mixed = 0
    for place in range(KEY_WORDS):
        word = key[at + place]
        mixed += (word & _HALF) * table[SECRETS + 2 * place]
        mixed += ((word >> _HALF_BITS) & _HALF) * table[SECRETS + 2 * place + 1]
    high = (mixed >> _HALF_BITS) & _HALF
    return HEADER_WORDS + ((high * table[CAPACITY]) >> _HALF_BITS)  # type: ignore[no-any-return]


def _has_key(table: Any, entry: int, key: Any, at: int) -> bool:
    for place in range(KEY_WORDS):  # noqa: SIM110 numba has no generators in `all`
        if table[entry + place] != key[at + place]:
            return False
    return True

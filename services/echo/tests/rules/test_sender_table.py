from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtppool_echo.reflector.compiled import compiled
from rtppool_echo.rules import sender_table
from rtppool_echo.rules.sender_table import (
    COUNT,
    HEADER_WORDS,
    KEY_WORDS,
    SECRETS,
    VALUE,
    begin_table,
    entry_at,
    table_words,
)

add: Any = compiled(sender_table.add)
find: Any = compiled(sender_table.find)
remove: Any = compiled(sender_table.remove)
words = st.integers(-(2**63), 2**63 - 1)


def key_of(number: int) -> Any:
    return np.array([1 + number, -number, number << 40, 0])


@given(st.integers(1, 9), st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 12)), max_size=200))
def test_a_table_holds_what_a_dictionary_of_bounded_size_holds(capacity: int, steps: list[tuple[str, int]]) -> None:
    table, model = np.zeros(table_words(capacity), np.int64), {}
    begin_table(table, capacity)
    for at, (step, number) in enumerate(steps):
        entry = find(table, key_of(number), 0)
        assert (entry != 0) == (number in model)
        if step == "remove" and entry:
            del model[number]
            remove(table, entry)
        elif step == "add" and not entry:
            entry = add(table, key_of(number), 0)
            assert (entry != 0) == (len(model) < capacity)
            if entry:
                table[entry + VALUE] = model[number] = at
        assert table[COUNT] == len(model)
    for number, value in model.items():
        assert table[find(table, key_of(number), 0) + VALUE] == value


@given(st.lists(words, min_size=KEY_WORDS, max_size=KEY_WORDS), st.lists(words, min_size=8, max_size=8))
def test_every_key_and_every_secret_has_a_bucket_in_the_table(key: list[int], secrets: list[int]) -> None:
    table = np.zeros(table_words(5), np.int64)
    begin_table(table, 5)
    table[SECRETS:HEADER_WORDS] = secrets
    assert add(table, np.array(key), 0) == entry_at(table, 0)
    assert table[HEADER_WORDS : HEADER_WORDS + 5].sum() == entry_at(table, 0)


def test_two_tables_spread_the_same_keys_in_different_ways() -> None:
    heads = []
    for _ in range(2):
        table = np.zeros(table_words(1_000), np.int64)
        begin_table(table, 1_000)
        for number in range(100):
            add(table, key_of(number), 0)
        heads.append(table[HEADER_WORDS : HEADER_WORDS + 1_000].tolist())
    assert heads[0] != heads[1]
    assert sum(map(bool, heads[0])) > 80

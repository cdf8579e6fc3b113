from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bench.subjects.bencode import Value, decode, encode

values = st.recursive(
    st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_is_encoded_is_decoded_to_the_same(value: Value) -> None:
    assert decode(encode(value)) == value


def test_the_examples_of_bep_3_are_encoded_as_printed_there() -> None:
    assert encode("spam") == b"4:spam"
    assert encode(-3) == b"i-3e"
    assert encode(["spam", "eggs"]) == b"l4:spam4:eggse"
    assert encode({"spam": "eggs", "cow": "moo"}) == b"d3:cow3:moo4:spam4:eggse"


def test_bytes_behind_the_value_are_refused() -> None:
    with pytest.raises(ValueError, match="1 bytes follow"):
        decode(b"i1ex")

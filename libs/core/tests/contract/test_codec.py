from __future__ import annotations

import json
from typing import Any, Literal

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from rtppool_core.contract.codec import Contract, ContractError, decode, from_json, to_json
from rtppool_core.contract.pools_file import EchoTarget, PoolEntry, PoolsDocument
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import HistogramExport, Report
from rtppool_core.net.hosts import host_problem
from rtppool_core.statistics.histogram import SCHEME


class Inner(Contract, frozen=True):
    port: int
    label: str = "none"


class Outer(Contract, frozen=True):
    some_name: str
    ratio: float = 0.5
    inner: Inner = Inner(1)
    inners: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (1, "x")
    by_name: dict[str, int] = msgspec.field(default_factory=dict)
    kind: Literal["a", "b"] = "a"
    maybe: int | None = None
    flag: bool = False


def within_bounds(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a contract. Hypothesis does not know the bounds of its types."""
    match kind:
        case inspect.StructType():
            return st.builds(kind.cls, **{each.name: within_bounds(each.type) for each in kind.fields})
        case inspect.UnionType():
            return st.one_of(*map(within_bounds, kind.types))
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.VarTupleType():
            return st.lists(within_bounds(kind.item_type), max_size=5).map(tuple)
        case inspect.TupleType():
            return st.tuples(*map(within_bounds, kind.item_types))
        case inspect.DictType():
            return st.dictionaries(within_bounds(kind.key_type), within_bounds(kind.value_type), max_size=3)
        case inspect.IntType():
            return st.integers(kind.ge, kind.le if kind.lt is None else kind.lt - 1)
        case inspect.FloatType():
            # JSON has no other numbers.
            return st.floats(kind.ge, kind.le, allow_nan=False, allow_infinity=False)
        case inspect.StrType():
            return st.text(max_size=kind.max_length)
    return st.none() if isinstance(kind, inspect.NoneType) else st.booleans()


PORT_RANGES = st.builds(
    lambda start, more: PortRange(start, start + more), st.integers(1024, 60_000), st.integers(0, 99)
)
HOSTS = st.text(min_size=1).filter(lambda host: host_problem(host) is None)
ENTRIES = st.builds(
    PoolEntry,
    port_range=PORT_RANGES,
    echo=st.builds(
        EchoTarget,
        host=HOSTS,
        port=st.integers(1, 1023),
        extension=st.booleans(),
    ),
)
DOCUMENTS = st.one_of(
    within_bounds(inspect.type_info(Report)).map(lambda value: (Report, value)),
    st.builds(PoolsDocument, pools=st.lists(ENTRIES, max_size=3).map(tuple)).map(lambda value: (PoolsDocument, value)),
)


def text(ratio: str = "1", rest: str = "") -> str:
    return f'{{"someName": "x", "ratio": {ratio}{rest}}}'


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [
        (text("NaN"), "not JSON: "),
        (text("Infinity"), "not JSON: "),
        (text("-Infinity"), "not JSON: "),
        (text(rest=', "new": NaN'), "not JSON: "),
        (text("1e999"), "Number out of range - at `$.ratio`"),
        (text("9" * 400), "ratio: 999"),
        (text(rest=', "inner": {"port": ' + "9" * 5000 + "}"), "Integer value out of range - at `$.inner.port`"),
        (text(rest=', "new": ' + "[" * 100_000 + "]" * 100_000), "not JSON: maximum recursion depth"),
        (
            text(rest=', "new": ' + '{"a":' * 100_000 + "1" + "}" * 100_000),
            "not JSON: maximum recursion depth",
        ),
        ("[" * 100_000, "Expected `object`, got `array`"),
        (b'{"someName": "\xff"}', "not JSON: 'utf-8' codec can't decode byte 0xff"),
        ('{"someName": "\\ud800"}', "not JSON: "),
        (text() + "x", "not JSON: "),
        ("", "not JSON: "),
    ],
)
def test_text_that_no_contract_can_hold_is_a_contract_error(spoilt: str | bytes, sentence: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode(Outer, spoilt)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("number", [1 << 64, -(1 << 63) - 1, 10**400])
def test_an_integer_beyond_64_bits_is_read_as_it_is(number: int) -> None:
    assert decode(Outer, text(rest=f', "maybe": {number}')).maybe == number


def test_of_a_name_that_comes_twice_the_last_value_counts() -> None:
    assert decode(Outer, '{"someName": "x", "someName": "y"}').some_name == "y"


def test_bytes_that_are_no_text_are_ignored_where_the_field_is_unknown() -> None:
    assert decode(Outer, b'{"someName": "x", "new": "\xff"}') == Outer("x")


def test_deep_nesting_where_a_scalar_belongs_is_refused_with_its_place() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(ContractError, match=r"^someName: .*; accepted is text$"):
        from_json(Outer, {"someName": deep})


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(DOCUMENTS)
def test_what_was_written_follows_its_schema_and_is_read_back(pair: tuple[type, Any]) -> None:
    kind, value = pair
    document = json.loads(json.dumps(to_json(value)))
    jsonschema.Draft202012Validator(msgspec.json.schema(kind)).validate(document)
    assert from_json(kind, document) == value


@pytest.mark.parametrize("kind", [Report, PoolsDocument, Outer])
def test_a_schema_is_one(kind: type) -> None:
    jsonschema.Draft202012Validator.check_schema(msgspec.json.schema(kind))


def test_unknown_fields_are_ignored_at_any_depth_by_reader_and_schema() -> None:
    document = {"someName": "x", "new": 1, "inner": {"port": 2, "newer": {}}, "inners": [{"port": 3, "newest": []}]}
    assert from_json(Outer, document) == Outer("x", inner=Inner(2), inners=(Inner(3),))
    jsonschema.validate(document, msgspec.json.schema(Outer))


def test_missing_fields_take_their_defaults_and_none_is_left_out() -> None:
    assert from_json(Outer, {"someName": "x"}) == Outer("x")
    assert "maybe" not in to_json(Outer("x"))
    assert from_json(Outer, {"someName": "x", "maybe": None}).maybe is None


def test_a_whole_number_is_read_where_a_fraction_may_stand() -> None:
    read = from_json(Outer, {"someName": "x", "ratio": 2}).ratio
    assert (read, type(read)) == (2.0, float)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "document: []; accepted is an object"),
        ({}, "someName is missing"),
        ({"someName": 1}, "someName: 1; accepted is text"),
        ({"someName": None}, "someName: None; accepted is text"),
        ({"someName": "x", "ratio": "y"}, "ratio: 'y'; accepted is a number"),
        ({"someName": "x", "ratio": True}, "ratio: True; accepted is a number"),
        ({"someName": "x", "flag": 1}, "flag: 1; accepted is true or false"),
        ({"someName": "x", "maybe": True}, "maybe: True; accepted is a whole number"),
        ({"someName": "x", "maybe": 1.0}, "maybe: 1.0; accepted is a whole number"),
        ({"someName": "x", "inner": {}}, "inner.port is missing"),
        ({"someName": "x", "inner": 5}, "inner: 5; accepted is an object"),
        ({"someName": "x", "inners": {}}, "inners: {}; accepted is a list"),
        ({"someName": "x", "inners": [{"port": 1}, {"port": "2"}]}, "inners[1].port: '2'; accepted is a whole number"),
        ({"someName": "x", "pair": [1]}, "pair: 1 items; accepted are 2"),
        ({"someName": "x", "pair": [1, 2]}, "pair[1]: 2; accepted is text"),
        ({"someName": "x", "byName": {"k": "v"}}, "byName.k: 'v'; accepted is a whole number"),
        ({"someName": "x", "byName": []}, "byName: []; accepted is an object"),
        ({"someName": "x", "kind": "c"}, "kind: 'c'; accepted is one of a, b"),
    ],
)
def test_what_is_wrong_is_said_with_place_value_and_what_is_accepted(document: Any, sentence: str) -> None:
    with pytest.raises(ContractError) as caught:
        from_json(Outer, document)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], ""),
        ({"someName": "x", "kind": "c"}, "kind"),
        ({"someName": "x", "inners": [{"port": 1}, {}]}, "inners[1].port"),
        ({"someName": "x", "byName": {"k": "v"}}, "byName.k"),
    ],
)
def test_the_place_can_be_had_by_itself(document: Any, place: str) -> None:
    with pytest.raises(ContractError) as caught:
        from_json(Outer, document)
    assert caught.value.place == place


def test_a_huge_value_is_shown_in_part() -> None:
    with pytest.raises(ContractError) as caught:
        from_json(Outer, {"someName": "x", "inner": "y" * 10_000})
    assert len(str(caught.value)) < 120


def test_what_a_dataclass_itself_refuses_is_said_with_its_place() -> None:
    with pytest.raises(ContractError, match=r"^echo: echo.port is 0; accepted is 1 to 65535$"):
        from_json(
            PoolEntry,
            {
                "name": "a",
                "namespace": "b",
                "uid": "c",
                "generation": 1,
                "nodes": [],
                "portRange": {"start": 10000, "end": 10100},
                "echo": {"port": 0},
            },
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["someName", "inner", "inners", "pair", "port", "maybe"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_read_or_refused_as_a_contract_error(document: Any) -> None:
    try:
        from_json(Outer, document)
    except ContractError:
        return
    jsonschema.validate(document, msgspec.json.schema(Outer))


def test_a_histogram_travels_as_pairs() -> None:
    export = HistogramExport(((3, 7), (9, 1)), 1100, 5000)
    document = to_json(export)
    assert document == {"counts": [[3, 7], [9, 1]], "minNs": 1100, "maxNs": 5000, "scheme": SCHEME}
    assert from_json(HistogramExport, document) == export


@pytest.mark.parametrize(
    ("spoilt", "place"),
    [
        ([1, "2"], "counts[1][1]: '2'; accepted is a whole number from 0 to 2147483647"),
        ([True, 2], "counts[1][0]: True; accepted is a whole number from 0 to 1664"),
        ([1, 2.0], "counts[1][1]: 2.0; accepted is a whole number from 0 to 2147483647"),
        ([-1, 1], "counts[1][0]: -1; accepted is a whole number from 0 to 1664"),
        ([1665, 1], "counts[1][0]: 1665; accepted is a whole number from 0 to 1664"),
        ([1], "counts[1]: 1 items; accepted are 2"),
        ("ab", "counts[1]: 'ab'; accepted is a list"),
        (None, "counts[1]: None; accepted is a list"),
    ],
)
def test_a_pair_that_is_none_is_told_with_its_place(spoilt: Any, place: str) -> None:
    with pytest.raises(ContractError) as caught:
        from_json(HistogramExport, {"counts": [[3, 7], spoilt], "minNs": 1100, "maxNs": 5000})
    assert str(caught.value) == place

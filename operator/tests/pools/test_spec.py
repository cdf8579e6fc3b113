"""The CRD and the types agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from jsonschema import Draft4Validator
from msgspec import Struct, structs

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.port_range import PortRange
from rtppool_operator.pools.parsing import parse_pool
from rtppool_operator.pools.spec import Pool, PoolSpec

ROOT = Path(__file__).resolve().parents[3]


def spec_schema(definition: dict[str, Any]) -> dict[str, Any]:
    return dict(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])


def fields_of_types(kind: Any, place: str = "") -> Iterator[str]:
    for field in structs.fields(kind):
        name = f"{place}.{field.encode_name}"
        yield name
        for option in (field.type, *get_args(field.type)):
            if isinstance(option, type) and issubclass(option, Struct):
                yield from fields_of_types(option, name)


def fields_of_schema(schema: dict[str, Any], place: str = "") -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{place}.{name}"
        yield from fields_of_schema(inner, f"{place}.{name}")
        yield from fields_of_schema(inner.get("items", {}), f"{place}.{name}")


def with_defaults(schema: dict[str, Any], value: Any) -> Any:
    """Apply defaults as the API server does."""
    if schema.get("type") == "object" and "properties" in schema:
        filled = dict(value)
        for name, inner in schema["properties"].items():
            if name not in filled and "default" in inner:
                filled[name] = inner["default"]
            if name in filled:
                filled[name] = with_defaults(inner, filled[name])
        return filled
    return value


def test_every_field_of_the_definition_is_known_and_no_other(definition: dict[str, Any]) -> None:
    assert set(fields_of_types(PoolSpec)) == set(fields_of_schema(spec_schema(definition)))


def test_the_defaults_are_those_of_the_definition(definition: dict[str, Any]) -> None:
    schema = spec_schema(definition)
    defaulted = with_defaults(schema, {"portRange": {"start": 10000, "end": 10100}})
    assert to_json(PoolSpec(PortRange(10000, 10100))) == defaulted


@pytest.mark.parametrize("path", sorted((ROOT / "examples/valid").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_valid_example_is_read(path: Path, definition: dict[str, Any], schema: Draft4Validator) -> None:
    document = yaml.safe_load(path.read_text())
    metadata = {"namespace": "n", "uid": "u", "generation": 1, "creationTimestamp": "t"} | document["metadata"]
    spec = with_defaults(spec_schema(definition), document["spec"])
    pool = parse_pool({"metadata": metadata, "spec": spec}, schema)
    assert pool.problem is None
    assert pool.spec is not None


def test_a_spec_that_can_not_be_read_says_where(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(portRange={"start": 10100, "end": 10000})
    assert pool.spec is None
    assert (pool.problem or "").startswith("spec.portRange: 10100-10000 is no port range; accepted is")


def test_an_echo_inside_the_range_is_a_problem(make_pool: Callable[..., Pool]) -> None:
    assert "inside portRange" in (make_pool(echo={"host": "127.0.0.1", "port": 10050}).problem or "")


def described(schema: dict[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{place}.{name}", inner.get("description", "")
        yield from described(inner, f"{place}.{name}")
        yield from described(inner.get("items", {}), f"{place}.{name}")


def test_every_field_and_every_column_is_described_in_sentences(definition: dict[str, Any]) -> None:
    version = definition["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    told = dict(described(schema)) | {"": schema["description"]}
    told |= {column["name"]: column["description"] for column in version["additionalPrinterColumns"]}
    assert {place for place, text in told.items() if not text.endswith(".")} == {".metadata"}, "the API server's own"

"""docs/rtppool.md lists every field of the spec with the accepted values and the default of the CRD."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/rtppool.md"
DEFINITION = ROOT / "charts/rtp-pool/files/rtppools.yaml"


@pytest.fixture
def spec() -> dict[str, Any]:
    versions = yaml.safe_load(DEFINITION.read_text())["spec"]["versions"]
    return dict(versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"])


def fields(schema: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield every field with a value: its place, its schema, and whether it is required."""
    for name, inner in schema.get("properties", {}).items():
        at = f"{place}.{name}" if place else name
        if "properties" not in inner:
            yield at, inner, name in schema.get("required", ())
        yield from fields(inner, at)
        yield from fields(inner.get("items", {}), f"{at}[]")


def accepted(schema: Mapping[str, Any]) -> str:
    """Return the accepted values in the form of the page."""
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    match schema["type"]:
        case "integer":
            return f"{schema['minimum']} to {schema['maximum']}"
        case "boolean":
            return "`true`, `false`"
        case "object":
            return f"at most {schema['maxProperties']} labels"
        case "array":
            return f"at most {schema['maxItems']}, each once"
    return f"at most {schema['maxLength']} characters"


def default(schema: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    if "default" not in schema:
        return "none"
    held = schema["default"]
    return f"{len(held)} tiers" if schema["type"] == "array" and held else f"`{json.dumps(held)}`"


def test_the_page_has_every_field_with_accepted_values_and_default(spec: dict[str, Any]) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{place}` | {accepted(schema)} | {default(schema, required=required)} |"
        for place, schema, required in fields(spec)
    ]

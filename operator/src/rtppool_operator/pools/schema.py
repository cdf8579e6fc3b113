"""A spec against the schema of the CRD, the only copy of the bounds of its fields.

The API server applies the same schema. The operator needs it while an older definition serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jsonschema import Draft4Validator

from rtppool_operator.pools.spec import VERSION

MAX_SHOWN = 60
_UNITS = {"maxLength": "characters", "maxItems": "entries", "maxProperties": "entries"}
_BY_TYPE = {"boolean": "true or false", "object": "an object"}


class Refusal(NamedTuple):
    """The field as the API server names it (`spec.echo.port`), and a message with its value and the accepted values."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def spec_schema(definition: Mapping[str, Any]) -> Draft4Validator:
    """Return the schema of `spec` in our version of the definition.

    Kubernetes' dialect is that of OpenAPI 3.0, which is draft 4. The validator ignores `x-kubernetes-*`, `default` and
    `format`; the API server has applied defaults and dropped nulls and unknown fields before the operator reads a pool.
    """
    version = next(each for each in definition["spec"]["versions"] if each["name"] == VERSION)
    return Draft4Validator(version["schema"]["openAPIV3Schema"]["properties"]["spec"])


def check_schema(document: Any, schema: Draft4Validator) -> Refusal | None:
    """Return the first violation, in the order of the schema."""
    error = next(schema.iter_errors(document), None)
    if error is None:
        return None
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    if error.validator == "required":
        name = next(name for name in error.validator_value if name not in error.instance)
        field, accepted = f"{place}.{name}", _accepted(error.schema["properties"][name])
        return Refusal(f"spec{field}", f"{field[1:]} is missing; accepted is {accepted}")
    unit = _UNITS.get(error.validator)
    value = f"is {error.instance!r:.{MAX_SHOWN}}" if unit is None else f"has {len(error.instance)} {unit}"
    return Refusal(f"spec{place}", f"{place[1:] or 'spec'} {value}; accepted is {_accepted(error.schema)}")


def _accepted(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"enum": names}:
            return f"one of {', '.join(names)}"
        case {"minimum": lowest, "maximum": highest}:
            return f"a whole number from {lowest} to {highest}"
        case {"maxLength": longest}:
            matching = f" that matches {schema['pattern']}" if "pattern" in schema else ""
            return f"text of {schema.get('minLength', 0)} to {longest} characters{matching}"
        case {"maxItems": most}:
            return f"a list of at most {most} entries"
        case {"maxProperties": most}:
            return f"an object of at most {most} entries"
    return _BY_TYPE[schema["type"]]

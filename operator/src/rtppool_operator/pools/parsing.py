"""Objects of the API server into pools. A spec is checked against the schema of the CRD and then against the rules.

The CRD is the only copy of the bounds of its fields. The API server applies the same schema, and the operator needs it
while an older definition serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jsonschema import Draft4Validator

from rtppool_core.contract.codec import ContractError, from_json
from rtppool_operator.pools.rules import Refusal, check_rules
from rtppool_operator.pools.spec import VALUES_DIGEST, VERSION, Pool, PoolSpec

MAX_SHOWN = 60
_UNITS = {"maxLength": "characters", "maxItems": "entries", "maxProperties": "entries"}
_BY_TYPE = {"boolean": "true or false", "object": "an object"}


def spec_schema(definition: Mapping[str, Any]) -> Draft4Validator:
    """Return the schema of `spec` in our version of the definition.

    Kubernetes' dialect is that of OpenAPI 3.0, which is draft 4. The validator ignores `x-kubernetes-*`, `default` and
    `format`; the API server has applied defaults and dropped nulls and unknown fields before the operator reads a pool.
    """
    version = next(each for each in definition["spec"]["versions"] if each["name"] == VERSION)
    return Draft4Validator(version["schema"]["openAPIV3Schema"]["properties"]["spec"])


def parse_pool(document: Mapping[str, Any], schema: Draft4Validator, known: Pool | None = None) -> Pool:
    """Read an object of the API server. A spec that breaks a rule, under an older definition, becomes its `problem`.

    A spec that is that of the `known` pool is not read again: most changes are of the status.
    """
    pool, raw = parse_without_spec(document), document.get("spec", {})
    if known is not None and known.document == raw:
        return replace(pool, spec=known.spec, problem=known.problem, selector=known.selector, document=raw)
    read = read_spec(raw, schema)
    return replace(
        pool,
        spec=None if isinstance(read, Refusal) else read,
        problem=str(read) if isinstance(read, Refusal) else None,
        selector=_selector(document.get("spec")),
        document=raw,
    )


def parse_without_spec(document: Mapping[str, Any]) -> Pool:
    """Read an object whose spec does not apply. Validation takes 0.5 ms, and any namespace can have many pools."""
    metadata = document["metadata"]
    return Pool(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        created=metadata["creationTimestamp"],
        spec=None,
        status=document.get("status") or {},
        values_digest=(metadata.get("annotations") or {}).get(VALUES_DIGEST),
    )


def read_spec(document: Any, schema: Draft4Validator) -> PoolSpec | Refusal:
    """Return the spec of an object, or the first rule of the definition that it breaks."""
    outside = _check_schema(document, schema)
    if outside is not None:
        return outside
    try:
        spec = from_json(PoolSpec, document, "spec")
    except ContractError as error:
        return Refusal(error.place, str(error).removeprefix(f"{error.place}: "))
    return check_rules(spec) or spec


def _selector(spec: Any) -> Mapping[str, Any]:
    selector = spec.get("nodeSelector") if isinstance(spec, Mapping) else None
    return selector if isinstance(selector, Mapping) else {}


def _check_schema(document: Any, schema: Draft4Validator) -> Refusal | None:
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

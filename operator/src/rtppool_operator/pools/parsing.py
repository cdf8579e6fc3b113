"""Objects of the API server into pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jsonschema import Draft4Validator

from rtppool_core.contract.codec import ContractError, from_json
from rtppool_operator.pools.rules import check_rules
from rtppool_operator.pools.schema import Refusal, check_schema
from rtppool_operator.pools.spec import VALUES_DIGEST, Pool, PoolSpec


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
    outside = check_schema(document, schema)
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

"""Objects of the API server into pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtppool_core.contract.codec import ContractError, from_json
from rtppool_operator.pools.bounds import Refusal, check_bounds
from rtppool_operator.pools.rules import check
from rtppool_operator.pools.spec import Pool, PoolSpec


def parse_pool(document: Mapping[str, Any]) -> Pool:
    """Read an object of the API server. The CRD's rules hold already, unless it is older: see `problem`."""
    metadata = document["metadata"]
    read = read_spec(document.get("spec", {}))
    return Pool(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        created=metadata["creationTimestamp"],
        spec=None if isinstance(read, Refusal) else read,
        problem=str(read) if isinstance(read, Refusal) else None,
        status=document.get("status") or {},
        selector=_selector(document.get("spec")),
    )


def read_spec(document: Any) -> PoolSpec | Refusal:
    """A spec as it stands in an object, or what the definition's rules say against it."""
    outside = check_bounds(document)
    if outside is not None:
        return outside
    try:
        spec = from_json(PoolSpec, document, "spec")
    except ContractError as error:
        return Refusal(error.place, str(error).removeprefix(f"{error.place}: "))
    return check(spec) or spec


def _selector(spec: Any) -> Mapping[str, Any]:
    selector = spec.get("nodeSelector") if isinstance(spec, Mapping) else None
    return selector if isinstance(selector, Mapping) else {}

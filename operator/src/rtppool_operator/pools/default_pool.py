"""The default pool, as the chart's values describe it. The operator applies it with a field manager of its own.

The values win on their own fields once for each change of them. So an edit with kubectl lasts until the values change,
also over restarts of the operator, and fields that the values do not have stay with their other managers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, field

from rtppool_core.contract.codec import Contract
from rtppool_operator.pools.spec import GROUP, KIND, VALUES_DIGEST, VERSION, ClusterView, Pool

FIELD_MANAGER = "rtp-pool-values"
DIGEST_DIGITS = 16
# As the API server accepts it.
POOL_NAME = r"^(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z"
ACCEPTED = 'a JSON object with "name", "managed", "spec" and "labels"'
OWN_LABELS = {"app.kubernetes.io/name": "rtp-pool", "app.kubernetes.io/managed-by": "rtp-pool-operator"}


class DefaultPool(Contract, frozen=True):
    """Name, spec and labels of the pool, as the chart's JSON. One that is not `managed` is made once, never changed."""

    name: Annotated[str, Meta(pattern=POOL_NAME)]
    managed: bool
    spec: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of the values, which the pool has as an annotation."""
        return hashlib.sha256(json.dumps([self.spec, self.labels], sort_keys=True).encode()).hexdigest()[:DIGEST_DIGITS]

    def document(self, namespace: str) -> dict[str, Any]:
        """Return the object to apply.

        It has no label `app.kubernetes.io/instance`, because Argo CD prunes objects with the label of an application.
        """
        metadata: dict[str, Any] = {
            "name": self.name,
            "namespace": namespace,
            "labels": {**self.labels, **OWN_LABELS},
        }
        if self.managed:
            metadata["annotations"] = {VALUES_DIGEST: self.digest}
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "spec": self.spec}

    def find(self, view: ClusterView, namespace: str) -> Pool | None:
        """Return the pool of the cluster."""
        return next((pool for pool in view.pools if (pool.namespace, pool.name) == (namespace, self.name)), None)

    def is_due(self, view: ClusterView, namespace: str) -> bool:
        """Return whether to apply the values: the pool is missing, or it has other values.

        A pool that is not managed is due only if it never existed.
        """
        found = self.find(view, namespace)
        if self.managed:
            return found is None or found.values_digest != self.digest
        return found is None and view.default_pool != self.name


def without_hook(managed_fields: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the managed fields with those of the chart's former hook as ours; None without such a hook.

    Version 0.1.0 made the pool by a `post-install` hook of Helm, or by Argo CD. Without the transfer, a field that
    leaves the values would stay in the pool, owned by a manager that never applies again.
    """
    owns_hook = [_owns_hook(entry) for entry in managed_fields]
    ours = any(entry.get("manager") == FIELD_MANAGER for entry in managed_fields)
    if ours or not any(owns_hook):
        return None
    at = owns_hook.index(True)
    taken = {**managed_fields[at], "manager": FIELD_MANAGER, "operation": "Apply"}
    return [taken if number == at else dict(entry) for number, entry in enumerate(managed_fields)]


def _owns_hook(entry: Mapping[str, Any]) -> bool:
    metadata = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
    return "f:helm.sh/hook" in (metadata.get("f:annotations") or {}) and not entry.get("subresource")

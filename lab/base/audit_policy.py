"""The audit policy of an API server: the metadata of the requests of chosen accounts, and of no others."""

from __future__ import annotations

import json
from collections.abc import Sequence


def service_accounts(namespace: str) -> str:
    """Return the group of all service accounts of a namespace."""
    return f"system:serviceaccounts:{namespace}"


def audit_policy(*, users: Sequence[str] = (), groups: Sequence[str] = ()) -> str:
    """Return the policy that logs the requests of `users`, or of the members of `groups`, once they are answered.

    The server reads YAML, of which JSON is a subset.
    """
    logged: dict[str, object] = {"level": "Metadata"}
    if users:
        logged["users"] = list(users)
    if groups:
        logged["userGroups"] = list(groups)
    return json.dumps(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [logged, {"level": "None"}],
        },
        indent=2,
    )

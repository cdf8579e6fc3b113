"""Values as options of helm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TOKEN = "httpToken.existingSecret"
# Values that every rendering must give. The defaults name no registry, and a token is generated on a cluster alone.
BASE = {"image.registry": "registry.example.com", TOKEN: "http-token"}


def completed(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return values with those that every rendering must give."""
    given = dict(values or {})
    base = {key: value for key, value in BASE.items() if key != TOKEN or given.get("httpToken.enabled", True)}
    return {**base, **given}


def set_values(values: Mapping[str, Any]) -> list[str]:
    """Return helm's options for values by their paths."""
    return [word for key, value in values.items() for word in ("--set-json", f"{key}={json.dumps(value)}")]

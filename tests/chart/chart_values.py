"""Values as options of helm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Values that every installation must give. The defaults name no registry.
BASE = {"image.registry": "registry.example.com"}


def set_values(values: Mapping[str, Any]) -> list[str]:
    """Return helm's options for values by their paths."""
    return [word for key, value in values.items() for word in ("--set-json", f"{key}={json.dumps(value)}")]

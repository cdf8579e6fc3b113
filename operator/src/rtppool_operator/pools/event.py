"""An event on a pool object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """A Kubernetes event. `kind` is `Warning` for a change to False."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str

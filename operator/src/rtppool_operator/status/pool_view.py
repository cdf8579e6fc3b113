"""A pool as the page shows it: the relays on its nodes, and the computed status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtppool_operator.relays.observed import PoolObservation


@dataclass(frozen=True, slots=True)
class PoolView:
    """The observation of a pool, and the status that was computed from it."""

    observation: PoolObservation
    status: Mapping[str, Any]

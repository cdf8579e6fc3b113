"""The stage of the process. It is known before HTTP is loaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Lifecycle:
    """`draining` from the first signal on; `ticked_at_seconds` is the control loop's tick."""

    draining: bool = False
    ports_tried: bool = False
    ticked_at_seconds: float = 0.0

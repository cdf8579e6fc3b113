"""The relay at one moment, as its HTTP answers render it."""

from __future__ import annotations

from dataclasses import dataclass

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import Report
from rtppool_relay.figures.sla import SlaCheck
from rtppool_relay.streams.slices import Slice


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The report, and the figures and SLA checks that it summarizes.

    `/status` publishes the report alone. `calls` and `probe` are the figures of the two windows.
    """

    report: Report
    limits: SlaLimits
    checks: tuple[SlaCheck, ...]
    calls: Slice
    probe: Slice

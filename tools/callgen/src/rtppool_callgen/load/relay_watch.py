"""Repeated reads of the relay during a load."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from rtppool_callgen.load.call_ledger import CallLedger
from rtppool_callgen.load.relay_counts import RelayCounts
from rtppool_callgen.load.relay_reader import RelayReader, RelayUnreadable
from rtppool_callgen.load.report import Polls, RelayFacts
from rtppool_callgen.load.windows import ImpossibleFigureError, LoadWindows, check_possible
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.contract.codec import ContractError, from_json, to_json
from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.statistics.histogram import SchemeError


class RelayWatch:
    """Collects windows, counts and records, each when it is due. Failed reads are counted by reason."""

    def __init__(self, reader: RelayReader, plan: LoadPlan) -> None:
        self.counts = RelayCounts()
        self.ledger: CallLedger | None = None
        self.facts = RelayFacts(reader.url)
        self.windows: LoadWindows | None = None
        self.trouble: str | None = None
        self._reader = reader
        self._calls_every_seconds = plan.calls_poll_seconds
        self._calls_read_at = float("-inf")
        self._reads = 0
        self._missed: Counter[str] = Counter()

    def polls(self) -> Polls:
        """Return the successful reads, and the failed ones by reason."""
        return Polls(self._reads, dict(self._missed))

    @property
    def is_idle(self) -> bool:
        """Whether the last read had no more calls than before the load."""
        return self.counts.active is not None and self.counts.active <= (self.counts.active_before or 0)

    @property
    def judged_up_to(self) -> float:
        """The end of the last window as Unix time."""
        windows = self.windows.all if self.windows is not None else ()
        return windows[-1].end_unix_seconds if windows else 0.0

    async def read(self, at_seconds: float | None) -> None:
        """Read the documents that are due. With `at_seconds` since the load began the window is kept."""
        try:
            await self._read_due(at_seconds)
        except RelayUnreadable as unreadable:
            self.trouble = str(unreadable)
            self._missed[self.trouble] += 1
        else:
            self.trouble = None
            self._reads += 1

    async def read_calls(self) -> None:
        """Read the records now."""
        self._calls_read_at = float("-inf")
        await self.read(None)

    async def _read_due(self, at_seconds: float | None) -> None:
        report, status = await self._reader.status()
        self.counts.add(status)
        if self.windows is None:
            await self._read_limits(status)
        if self.windows is not None and at_seconds is not None:
            try:
                self.windows.add(report, at_seconds, int(time.time()))
            except (SchemeError, ImpossibleFigureError) as error:
                raise RelayUnreadable(f"{self._reader.url}/status has a window that can't be read: {error}") from error
        if time.monotonic() - self._calls_read_at >= self._calls_every_seconds:
            await self._read_calls()

    async def _read_limits(self, status: Mapping[str, Any]) -> None:
        document = (await self._reader.document("/sla")).get("limits")
        try:
            limits = from_json(SlaLimits, document)
            check_possible((limits.max_rtt_microseconds, limits.max_late_ppm, limits.max_loss_ppm), "limits")
            for tier in limits.tiers:
                check_possible(structs.astuple(tier), "a tier")
        except (ContractError, ImpossibleFigureError) as error:
            raise RelayUnreadable(f"{self._reader.url}/sla has limits that can't be read: {error}") from error
        self.windows = LoadWindows(limits.tiers)
        self.facts = RelayFacts(
            url=self._reader.url,
            node=status.get("node"),
            software_version=status.get("softwareVersion"),
            port_range=status.get("ports", {}).get("range"),
            stamps=status.get("clock", {}).get("stamps"),
            limits=to_json(limits),
        )

    async def _read_calls(self) -> None:
        document = await self._reader.document("/calls")
        self._calls_read_at = time.monotonic()
        if self.ledger is None:
            self.ledger = CallLedger(document)
        else:
            self.ledger.add(document)

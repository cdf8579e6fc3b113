"""Polls of relays' `/status`: concurrent within bounds, with a timeout of one second each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from rtppool_core.contract.codec import Contract, ContractError, decode
from rtppool_core.contract.report import VERSION, Report
from rtppool_core.net.tls_files import TrustedAuthority
from rtppool_core.process.secret_file import SecretFile
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.relays.observed import Failure, LastReport
from rtppool_operator.relays.relay_http import RelayHttp
from rtppool_operator.relays.report_bounds import check_node, check_report

TIMEOUT_SECONDS = 1.0
MAX_POLLS_IN_FLIGHT = 32
# A relay that has missed as many polls in a row is silent.
MISSED_POLLS = 3
# Reserved for urgent polls, so that silent relays do not delay them.
MAX_URGENT_POLLS = 8


class IncompatibleReportError(ContractError):
    """A report of a version that this operator does not read."""


class _Version(Contract, frozen=True):
    version: Any = VERSION


class Poller:
    """Keeps the last report of each relay. `last_reports` and `failures` are by pod uid."""

    def __init__(
        self,
        token: SecretFile | None,
        authority: TrustedAuthority | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._http = RelayHttp(token, authority, TIMEOUT_SECONDS)
        self._monotonic = monotonic
        self._unix = unix
        self._slots = asyncio.Semaphore(MAX_POLLS_IN_FLIGHT - MAX_URGENT_POLLS)
        self._urgent_slots = asyncio.Semaphore(MAX_URGENT_POLLS)
        self._polled_at: dict[str, float] = {}
        self._missed: dict[str, int] = {}
        self.last_reports: dict[str, LastReport] = {}
        self.failures: dict[str, Failure] = {}
        self.polls = 0
        self.failed_polls = 0

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    def forget(self) -> None:
        """Forget all relays, whose reports another operator has polled since."""
        for held in (self.last_reports, self.failures, self._polled_at, self._missed):
            held.clear()

    def is_settled(self, uid: str) -> bool:
        """Return whether a relay has answered, or has missed so many polls that it is silent."""
        return uid in self.last_reports or self._missed.get(uid, 0) >= MISSED_POLLS

    async def poll(
        self, relays: Iterable[RelayPod], present: Iterable[RelayPod] | None = None, *, urgent: bool = False
    ) -> None:
        """Poll `relays`, and forget relays that are not in `present` (None: not in `relays`).

        Polls may overlap. An `urgent` poll does not wait for the silent relays of another one.
        """
        polled = list(relays)
        uids = {relay.uid for relay in (polled if present is None else present)}
        for held in (self.last_reports, self.failures, self._polled_at, self._missed):
            for uid in [uid for uid in held if uid not in uids]:
                del held[uid]
        headers = await self._http.headers()
        slots = self._urgent_slots if urgent else self._slots
        await asyncio.gather(*(self._poll(relay, headers, slots) for relay in polled))

    async def _poll(self, relay: RelayPod, headers: dict[str, str], slots: asyncio.Semaphore) -> None:
        async with slots:
            self.polls += 1
            began = self._monotonic()
            try:
                report = await self._report(relay, headers)
            except Exception as error:  # noqa: BLE001 no response of a relay may stop the polls of the others
                self.failed_polls += 1
                self._missed[relay.uid] = self._missed.get(relay.uid, 0) + 1
                self.failures[relay.uid] = Failure(
                    self._http.reason(relay, error), isinstance(error, IncompatibleReportError)
                )
                return
        if began < self._polled_at.get(relay.uid, began):
            # A later poll has already brought a newer report.
            return
        self._polled_at[relay.uid] = began
        self._missed.pop(relay.uid, None)
        self.failures.pop(relay.uid, None)
        self.last_reports[relay.uid] = LastReport(report, self._monotonic(), int(self._unix()))

    async def _report(self, relay: RelayPod, headers: dict[str, str]) -> Report:
        report = read_report(await self._http.get(relay, "/status", headers))
        check_node(report, relay.node)
        return report


def read_report(body: bytes) -> Report:
    """Read a relay's report. An accepted report can be merged with others, histograms included.

    Raises:
        IncompatibleReportError: the report has another version; the rest of it is not read.
        ContractError: not JSON, or a field is missing or has the wrong type.
        ValueError: a histogram of another scheme, or an impossible figure.
    """
    version = decode(_Version, body).version
    if version != VERSION:
        raise IncompatibleReportError(f"its report has version {str(version)[:20]}; accepted is {VERSION}")
    report = decode(Report, body)
    check_report(report)
    return report

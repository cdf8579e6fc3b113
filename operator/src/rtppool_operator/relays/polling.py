"""Requests for relays' `/status`, and what they answered: the last report of each relay, failures, and news.

A relay of this version holds a request until its report changes, so a quiet relay sends a whole report every 15 s only.
An earlier one answers at once, and is asked every two seconds.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from rtppool_core.contract.codec import Contract, ContractError, decode
from rtppool_core.contract.report import VERSION, Report
from rtppool_core.contract.report_changes import (
    AFTER,
    COUNTS_SECONDS,
    DEFAULT_WAIT_SECONDS,
    WAIT_SECONDS,
    urgent_part,
)
from rtppool_core.net.tls_files import TrustedAuthority
from rtppool_core.process.secret_file import SecretFile
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.relays.observed import POLL_SECONDS, Failure, LastReport
from rtppool_operator.relays.relay_http import RelayHttp
from rtppool_operator.relays.report_bounds import check_node, check_report

# A whole second of it may be a busy operator's own.
TIMEOUT_SECONDS = 3.0
# Of requests that are answered at once. A relay that has missed one waits for its own places, not for those of others.
MAX_POLLS_IN_FLIGHT = 32
MAX_DOUBTFUL_POLLS = 128
# A relay that has missed as many polls in a row is silent.
MISSED_POLLS = 3
# The pause before the next request to a relay that answers at once.
MIN_PAUSE_SECONDS = 0.4
# A wait is in whole seconds, and the last one may end a second later.
WHOLE_REPORT_SECONDS, WHOLE_REPORT_SECONDS_OF_MANY = 14.0, 59.0
MANY_RELAYS = 1000


class IncompatibleReportError(ContractError):
    """A report of a version that this operator does not read."""


class _Version(Contract, frozen=True):
    version: Any = VERSION


@dataclass(slots=True)
class _Progress:
    """A relay's missed polls in a row, and when its next whole report is due."""

    missed: int = 0
    whole_at_seconds: float = 0.0


class Poller:
    """Keeps the last report of each relay. `last_reports` and `failures` are by pod uid.

    `news` is set when a relay has reported what changes a pool's conditions.
    """

    def __init__(
        self,
        token: SecretFile | None,
        authority: TrustedAuthority | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._http = RelayHttp(token, authority, TIMEOUT_SECONDS)
        self._monotonic = monotonic
        self._unix = unix
        self._uniform = uniform
        self._slots = asyncio.Semaphore(MAX_POLLS_IN_FLIGHT)
        self._doubtful_slots = asyncio.Semaphore(MAX_DOUBTFUL_POLLS)
        self._progress: dict[str, _Progress] = {}
        self._urgent: set[str] = set()
        self._moved: set[str] = set()
        self._measured: set[str] = set()
        self._ticked_at_seconds = float("-inf")
        self._whole_report_seconds = WHOLE_REPORT_SECONDS
        self.news = asyncio.Event()
        self.last_reports: dict[str, LastReport] = {}
        self.failures: dict[str, Failure] = {}
        self.polls = 0
        self.failed_polls = 0

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    def keep_only(self, relays: Iterable[RelayPod]) -> None:
        """Forget all other relays. Of more than a thousand, each sends a whole report every minute."""
        uids = {relay.uid for relay in relays}
        for held in (self.last_reports, self.failures, self._progress):
            for uid in held.keys() - uids:
                del held[uid]
        for noted in (self._urgent, self._moved, self._measured):
            noted.intersection_update(uids)
        many = len(uids) > MANY_RELAYS
        self._whole_report_seconds = WHOLE_REPORT_SECONDS_OF_MANY if many else WHOLE_REPORT_SECONDS

    def is_settled(self, uid: str) -> bool:
        """Return whether a relay has answered, or has missed so many polls that it is silent."""
        return uid in self.last_reports or self._of(uid).missed >= MISSED_POLLS

    def take_urgent(self) -> set[str]:
        """Return the relays with news since the last call."""
        taken, self._urgent = self._urgent, set()
        self.news.clear()
        return taken

    def take_moved(self) -> set[str]:
        """Return the relays with another number of calls or ports, or another failure, since the last call."""
        taken, self._moved = self._moved, set()
        return taken

    def take_measured(self) -> set[str]:
        """Return the relays that sent figures since the last call."""
        taken, self._measured = self._measured, set()
        return taken

    def tick(self) -> None:
        """Note that this process runs. Call it every two seconds: a stall of it must not make relays look silent."""
        now = self._monotonic()
        stalled = now - self._ticked_at_seconds - POLL_SECONDS
        if POLL_SECONDS < stalled < math.inf:
            for uid, last in self.last_reports.items():
                self.last_reports[uid] = last.later(stalled)
        self._ticked_at_seconds = now

    def silence_seconds(self) -> float:
        """Return the time by which relays are judged silent: now, or the end of the last tick's two seconds."""
        return min(self._monotonic(), self._ticked_at_seconds + POLL_SECONDS)

    async def ask(self, relay: RelayPod, *, is_behind: bool = False) -> float:
        """Ask a relay once, and return the pause before the next request to it, in seconds.

        A relay that `is_behind` its configuration is asked again soon, if it holds no requests.
        """
        began = self._monotonic()
        self.polls += 1
        try:
            report = await self._next_report(relay, began)
        except Exception as error:  # noqa: BLE001 no response of a relay may stop the requests to it
            self._record_failure(relay, error)
            return POLL_SECONDS
        self._record(relay.uid, report)
        can_hold = report.position is not None
        pause = MIN_PAUSE_SECONDS if can_hold or is_behind else POLL_SECONDS
        return max(0.0, began + pause - self._monotonic())

    async def _next_report(self, relay: RelayPod, now_seconds: float) -> Report:
        """Return the whole report where it is due or nothing is known, else what the relay reports when it changes."""
        last, progress = self.last_reports.get(relay.uid), self._of(relay.uid)
        position = None if last is None else last.report.position
        left_seconds = math.ceil(progress.whole_at_seconds - now_seconds)
        if last is None or position is None or progress.missed or left_seconds <= 0:
            async with self._doubtful_slots if progress.missed else self._slots:
                return _read(relay, await self._http.get(relay, "/status"))
        wait_seconds = min(DEFAULT_WAIT_SECONDS, left_seconds)
        query = f"{AFTER}={position}&{WAIT_SECONDS}={wait_seconds}"
        body = await self._http.get(relay, f"/status?{query}", wait_seconds)
        return _with_figures(_read(relay, body), last.report) if body else last.report

    def _record(self, uid: str, report: Report) -> None:
        now, last, progress = self._monotonic(), self.last_reports.get(uid), self._of(uid)
        was_missed, progress.missed = progress.missed, 0
        self.failures.pop(uid, None)
        self.last_reports[uid] = LastReport(report, now, int(self._unix()))
        if last is not None and last.report is report:
            return
        if last is None or report.windows is not last.report.windows:
            self._measured.add(uid)
            # Relays that are first asked together send their whole reports at different times.
            share = self._uniform(0.1, 1) if last is None else 1
            progress.whole_at_seconds = now + share * self._whole_report_seconds
        if report.calls.active and report.windows.calls is None:
            # The first figures of calls are soon there, and are not to wait for the next whole report.
            progress.whole_at_seconds = min(progress.whole_at_seconds, now + COUNTS_SECONDS)
        if last is None or _counts(last.report) != _counts(report):
            self._moved.add(uid)
        if last is None or was_missed or urgent_part(last.report) != urgent_part(report):
            self._note_news(uid)

    def _record_failure(self, relay: RelayPod, error: Exception) -> None:
        uid, progress = relay.uid, self._of(relay.uid)
        self.failed_polls += 1
        progress.missed += 1
        failure = Failure(self._http.reason(relay, error), isinstance(error, IncompatibleReportError))
        if failure != self.failures.get(uid):
            self._moved.add(uid)
        self.failures[uid] = failure
        last = self.last_reports.get(uid)
        if last is not None and last.missed_at_seconds is None:
            self.last_reports[uid] = replace(last, missed_at_seconds=self._monotonic())
        if progress.missed == MISSED_POLLS:
            self._note_news(uid)

    def _note_news(self, uid: str) -> None:
        self._urgent.add(uid)
        self.news.set()

    def _of(self, uid: str) -> _Progress:
        return self._progress.setdefault(uid, _Progress())


def _counts(report: Report) -> tuple[Any, ...]:
    """Return numbers of calls and ports, and what was measured at all."""
    windows = report.windows
    return report.calls, report.ports, windows.calls is None, windows.probe is None


def _with_figures(report: Report, last: Report) -> Report:
    """Return a report whole, with the figures of the last one where it lacks them."""
    if report.whole:
        return report
    return structs.replace(report, windows=last.windows, host=last.host, whole=True)


def _read(relay: RelayPod, body: bytes) -> Report:
    report = read_report(body)
    check_node(report, relay.node)
    return report


def read_report(body: bytes) -> Report:
    """Read a relay's report. An accepted report can be merged with others, histograms included.

    Raises:
        IncompatibleReportError: the report has another version; the rest of it is not read.
        ContractError: not JSON, or a field is missing or has the wrong type.
        ValueError: a histogram of another scheme, or an impossible figure.
    """
    try:
        report = decode(Report, body)
    except ContractError:
        # A report of another version may have another shape.
        _check_version(decode(_Version, body).version)
        raise
    _check_version(report.version)
    check_report(report)
    return report


def _check_version(version: Any) -> None:
    if version != VERSION:
        raise IncompatibleReportError(f"its report has version {str(version)[:20]}; accepted is {VERSION}")

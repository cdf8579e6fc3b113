"""Requests for relays' `/status`, by one task for each relay: the last report of each relay, failures, and news.

A relay of this version holds a request until its report changes, so a quiet relay sends a whole report every 15 s only.
An earlier one answers at once, and is asked every two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from msgspec import structs

from rtppool_core.contract.report import Report
from rtppool_core.contract.report_changes import (
    AFTER,
    COUNTS_SECONDS,
    DEFAULT_WAIT_SECONDS,
    WAIT_SECONDS,
    urgent_part,
)
from rtppool_core.net.tls_files import TrustedAuthority
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_core.process.secret_file import SecretFile
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.observed import POLL_SECONDS, Failure, LastReport
from rtppool_operator.relays.relay_http import RelayHttp
from rtppool_operator.relays.reports import IncompatibleReportError, read_report

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
JOB = "polls of a relay"
# News of a relay: of conditions; of numbers of calls and ports, and failures; of figures.
URGENT, MOVED, MEASURED = "urgent", "moved", "measured"


@dataclass(slots=True)
class _Followed:
    """A relay with its task, its missed polls in a row, and the time of its next whole report."""

    relay: RelayPod
    missed: int = 0
    whole_at_seconds: float = 0.0
    is_behind: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def end(self) -> None:
        if self.task is not None:
            self.task.cancel()


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
        self._followed: dict[str, _Followed] = {}
        self._noted: dict[str, set[str]] = {kind: set() for kind in (URGENT, MOVED, MEASURED)}
        self._ticked_at_seconds = float("-inf")
        self._whole_report_seconds = WHOLE_REPORT_SECONDS
        self.news = asyncio.Event()
        self.last_reports: dict[str, LastReport] = {}
        self.failures: dict[str, Failure] = {}
        self.polls = 0
        self.failed_polls = 0

    async def close(self) -> None:
        """End all tasks, and close all connections."""
        tasks = [each.task for each in self._followed.values() if each.task is not None]
        self.keep_only(())
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.close()

    def follow(self, relays: Iterable[RelayPod], jobs: PeriodicJobs) -> None:
        """Ask these relays again and again, and forget all others. A relay with another address is asked anew."""
        wanted = tuple(relays)
        self.keep_only(wanted)
        for relay in wanted:
            followed = self._of(relay)
            known, followed.relay = followed.relay, relay
            if followed.task is None or (known.address, known.port) != (relay.address, relay.port):
                followed.end()
                followed.task = asyncio.create_task(jobs.keep_running(JOB, partial(self._follow, followed)))

    def hurry(self, uids: Collection[str]) -> None:
        """Ask relays that are behind their configuration at once, and more often than the others from now on."""
        for uid, followed in self._followed.items():
            if uid in uids and not followed.is_behind:
                followed.wake.set()
            followed.is_behind = uid in uids

    def keep_only(self, relays: Iterable[RelayPod]) -> None:
        """Forget all other relays. Of more than a thousand, each sends a whole report every minute."""
        uids = {relay.uid for relay in relays}
        for uid in self._followed.keys() - uids:
            self._followed.pop(uid).end()
        for held in (self.last_reports, self.failures):
            for uid in held.keys() - uids:
                del held[uid]
        for noted in self._noted.values():
            noted.intersection_update(uids)
        many = len(uids) > MANY_RELAYS
        self._whole_report_seconds = WHOLE_REPORT_SECONDS_OF_MANY if many else WHOLE_REPORT_SECONDS

    def is_settled(self, uid: str) -> bool:
        """Return whether a relay has answered, or has missed so many polls that it is silent."""
        followed = self._followed.get(uid)
        return uid in self.last_reports or (followed is not None and followed.missed >= MISSED_POLLS)

    def take(self, kind: str) -> set[str]:
        """Return the uids of the relays with news of a kind since the last call."""
        taken, self._noted[kind] = self._noted[kind], set()
        if kind == URGENT:
            self.news.clear()
        return taken

    def tick(self) -> None:
        """Note that this process runs. Call it every two seconds: a stall of it must not make relays look silent."""
        now = self._monotonic()
        stalled = now - self._ticked_at_seconds - POLL_SECONDS
        if POLL_SECONDS < stalled < math.inf:
            for uid, last in self.last_reports.items():
                self.last_reports[uid] = replace(last, until_seconds=last.until_seconds + stalled)
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
        self._record(relay, report)
        can_hold = report.position is not None
        pause = MIN_PAUSE_SECONDS if can_hold or is_behind else POLL_SECONDS
        return max(0.0, began + pause - self._monotonic())

    async def _next_report(self, relay: RelayPod, now_seconds: float) -> Report:
        """Return the whole report where it is due or nothing is known, else what the relay reports when it changes."""
        last, followed = self.last_reports.get(relay.uid), self._of(relay)
        position = None if last is None else last.report.position
        left_seconds = math.ceil(followed.whole_at_seconds - now_seconds)
        if last is None or position is None or followed.missed or left_seconds <= 0:
            async with self._doubtful_slots if followed.missed else self._slots:
                return read_report(await self._http.get(relay, "/status"), relay.node)
        wait_seconds = min(DEFAULT_WAIT_SECONDS, left_seconds)
        query = f"{AFTER}={position}&{WAIT_SECONDS}={wait_seconds}"
        body = await self._http.get(relay, f"/status?{query}", wait_seconds)
        return _with_figures(read_report(body, relay.node), last.report) if body else last.report

    def _record(self, relay: RelayPod, report: Report) -> None:
        uid, followed = relay.uid, self._of(relay)
        now, last = self._monotonic(), self.last_reports.get(uid)
        was_missed, followed.missed = followed.missed, 0
        self.failures.pop(uid, None)
        self.last_reports[uid] = LastReport.of(report, now, int(self._unix()))
        if last is not None and last.report is report:
            return
        if last is None or report.windows is not last.report.windows:
            self._noted[MEASURED].add(uid)
            # Relays that are first asked together send their whole reports at different times.
            share = self._uniform(0.1, 1) if last is None else 1
            followed.whole_at_seconds = now + share * self._whole_report_seconds
        if report.calls.active and report.windows.calls is None:
            # The first figures of calls are soon there, and are not to wait for the next whole report.
            followed.whole_at_seconds = min(followed.whole_at_seconds, now + COUNTS_SECONDS)
        if last is None or _counts(last.report) != _counts(report):
            self._noted[MOVED].add(uid)
        if last is None or was_missed or urgent_part(last.report) != urgent_part(report):
            self._note_news(uid)

    def _record_failure(self, relay: RelayPod, error: Exception) -> None:
        uid, followed = relay.uid, self._of(relay)
        self.failed_polls += 1
        followed.missed += 1
        failure = Failure(self._http.reason(relay, error), isinstance(error, IncompatibleReportError))
        if failure != self.failures.get(uid):
            self._noted[MOVED].add(uid)
        self.failures[uid] = failure
        last = self.last_reports.get(uid)
        if last is not None:
            self.last_reports[uid] = last.missed(self._monotonic())
        if followed.missed == MISSED_POLLS:
            self._note_news(uid)

    def _note_news(self, uid: str) -> None:
        self._noted[URGENT].add(uid)
        self.news.set()

    def _of(self, relay: RelayPod) -> _Followed:
        if relay.uid not in self._followed:
            self._followed[relay.uid] = _Followed(relay)
        return self._followed[relay.uid]

    async def _follow(self, followed: _Followed) -> None:
        while True:
            pause = await self.ask(followed.relay, is_behind=followed.is_behind)
            followed.wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await followed.wake.wait()


def _counts(report: Report) -> tuple[Any, ...]:
    """Return numbers of calls and ports, and what was measured at all."""
    windows = report.windows
    return report.calls, report.ports, windows.calls is None, windows.probe is None


def _with_figures(report: Report, last: Report) -> Report:
    """Return a report whole, with the figures of the last one where it lacks them."""
    if report.whole:
        return report
    return structs.replace(report, windows=last.windows, host=last.host, whole=True)

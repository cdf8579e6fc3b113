"""The answers to `/status`: at once, or when the report has changed.

A change of the configuration answers at once, and one of a condition's input or of the verdict at the next comparison.
Numbers of calls and ports alone do so at most every two seconds. Nothing is compared while no request waits.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from msgspec import structs

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.report import Report
from rtppool_core.contract.report_changes import (
    AFTER,
    COUNTS_SECONDS,
    DEFAULT_WAIT_SECONDS,
    MAX_WAIT_SECONDS,
    NO_CHANGE,
    WAIT_SECONDS,
)
from rtppool_core.net.http_endpoints import JSON_HEADERS, json_response

COMPARE_SECONDS = 0.2
# Counting goes over all calls.
COUNT_SECONDS = 1.0
# Each holds one of the few HTTP connections. Two operators need two of them.
MAX_HELD = 8


class ReportWaits:
    """Numbers the states of the report.

    `brief` is the report without figures, and `urgent` the part of it that answers at once, which is cheap.
    """

    def __init__(
        self,
        report: Callable[[], Report],
        brief: Callable[[], Report],
        urgent: Callable[[], tuple[Any, ...]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._brief = brief
        self._urgent_part = urgent
        self._monotonic = monotonic
        self._start = secrets.token_hex(8)
        self._number = 0
        self._urgent: tuple[Any, ...] | None = None
        self._counts: tuple[Any, ...] | None = None
        self._changed_at_seconds = self._counted_at_seconds = float("-inf")
        self._changed = asyncio.Event()
        self._is_closed = False
        self.held = 0

    def compare(self) -> None:
        """Answer the waiting requests if the report has changed. Call it every `COMPARE_SECONDS`."""
        if self.held:
            self._compare()

    def close(self) -> None:
        """Answer all requests at once from now on: the relay stops."""
        self._is_closed = True
        self._changed.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with the whole report, or without its figures to a request that has waited for a change.

        A report that has not changed in `waitSeconds` is 204.
        """
        after = request.query.get(AFTER)
        try:
            wait_seconds = _wait_seconds(request.query.get(WAIT_SECONDS))
        except ValueError as error:
            return json_response({"error": str(error)}, 400)
        self._compare(counts_too=True)
        if after != self._position:
            return json_response(to_json(structs.replace(self._report(), position=self._position)))
        if not await self._changes(wait_seconds):
            return web.Response(status=NO_CHANGE, headers=JSON_HEADERS)
        brief = structs.replace(self._brief(), position=self._position, whole=False)
        return json_response(to_json(brief))

    @property
    def _position(self) -> str:
        return f"{self._start}-{self._number}"

    async def _changes(self, wait_seconds: int) -> bool:
        """Return whether the report changes in time, at once where too many requests wait."""
        if self._is_closed or self.held >= MAX_HELD:
            return True
        self.held += 1
        try:
            async with asyncio.timeout(wait_seconds):
                return await self._changed.wait()
        except TimeoutError:
            return False
        finally:
            self.held -= 1

    def _compare(self, *, counts_too: bool = False) -> None:
        urgent, now_seconds = self._urgent_part(), self._monotonic()
        is_urgent, counts = urgent != self._urgent, self._counts
        if is_urgent or counts_too or now_seconds >= self._counted_at_seconds + COUNT_SECONDS:
            brief, self._counted_at_seconds = self._brief(), now_seconds
            counts = brief.calls, brief.ports
        may_count = now_seconds >= self._changed_at_seconds + COUNTS_SECONDS
        if not is_urgent and not (may_count and counts != self._counts):
            return
        self._urgent, self._counts, self._changed_at_seconds = urgent, counts, now_seconds
        self._number += 1
        self._changed.set()
        if not self._is_closed:
            self._changed = asyncio.Event()


def _wait_seconds(text: str | None) -> int:
    if text is None:
        return DEFAULT_WAIT_SECONDS
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= MAX_WAIT_SECONDS):
        raise ValueError(f"{WAIT_SECONDS}={text[:20]}: accepted are 1 to {MAX_WAIT_SECONDS}, whole seconds")
    return int(text)

"""The position of a relay's report, and the requests that wait for its next change.

An urgent change is published at once. A change of counts alone is published COUNTS_SECONDS after the previous change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lab.faults.operator.relays.status_server import StatusConnection
from rtppool_core.contract.report_changes import COUNTS_SECONDS

MAX_HELD = 8

_Respond = Callable[[StatusConnection], None]


class LongPoll:
    """One process of a relay. `start` names the process, and no other process has its positions.

    `report` answers with the whole report, `brief` without the figures after a wait, `no_change` at the end of a wait.
    """

    def __init__(self, start: str, report: _Respond, brief: _Respond, no_change: _Respond) -> None:
        self._start = start
        self._number = 1
        self._report = report
        self._brief = brief
        self._no_change = no_change
        self._held: dict[StatusConnection, asyncio.TimerHandle] = {}
        self._changed_at_seconds = float("-inf")
        self._due: asyncio.TimerHandle | None = None

    @property
    def position(self) -> str:
        """The position of the current report."""
        return f"{self._start}-{self._number}"

    @property
    def held(self) -> int:
        """The number of held requests."""
        return len(self._held)

    def request(self, connection: StatusConnection) -> None:
        """Hold a request that has the current position, and answer any other."""
        if connection.after != self.position or len(self._held) >= MAX_HELD:
            self._report(connection)
            return
        loop = asyncio.get_running_loop()
        self._held[connection] = loop.call_later(connection.wait_seconds, self._expire, connection)

    def change(self) -> None:
        """Publish a change at once: raise the position, and answer the held requests."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._number += 1
        self._changed_at_seconds = asyncio.get_running_loop().time()
        for connection in self.release():
            self._brief(connection)

    def change_counts(self) -> None:
        """Publish a change of counts, now or when it is due."""
        if self._due is not None:
            return
        loop, due_seconds = asyncio.get_running_loop(), self._changed_at_seconds + COUNTS_SECONDS
        if loop.time() >= due_seconds:
            self.change()
        else:
            self._due = loop.call_at(due_seconds, self.change)

    def forget(self, connection: StatusConnection) -> None:
        """Forget a request whose connection is lost."""
        if (timer := self._held.pop(connection, None)) is not None:
            timer.cancel()

    def release(self) -> list[StatusConnection]:
        """Return the held requests, which from now on have no end of their wait."""
        released = list(self._held)
        for connection in released:
            self.forget(connection)
        return released

    def close(self) -> None:
        """Cancel all timers."""
        self.release()
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _expire(self, connection: StatusConnection) -> None:
        del self._held[connection]
        self._no_change(connection)

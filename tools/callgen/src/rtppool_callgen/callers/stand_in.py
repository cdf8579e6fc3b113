"""Callers of the stand-in, with an echo and a relay of their own on this machine.

Each is a process of its own. Callers in the process of the load test would send in bursts while that one is busy.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import aiohttp

from rtppool_callgen.callers.interface import CallersFailed
from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.local.processes import Child, ChildFailed
from rtppool_callgen.local.system import (
    LocalSystem,
    end_all,
    new_stand_in_address,
    start_services,
    start_stand_in,
    until_ready,
)
from rtppool_callgen.plan.caller_events import from_line
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.contract.codec import ContractError
from rtppool_core.process.service import Stop
from rtppool_core.statistics.histogram import SchemeError

READ_SECONDS = 0.2


class StandInCallers:
    """Starts echo and relay at once, and the stand-in with `call`. Logs go to `folder`."""

    def __init__(self, plan: LoadPlan, system: LocalSystem, folder: Path, stop: Stop) -> None:
        self._plan = plan
        self._system = system
        self._folder = folder
        self._stop = stop
        self._tally = Tally()
        self._events = folder / "events"
        self._children: list[Child] = []
        self._ari = new_stand_in_address()
        self._file: io.TextIOBase | None = None
        self._unfinished = ""

    async def __aenter__(self) -> Self:
        """See `Callers.__aenter__`."""
        self._events.touch()
        self._file = self._events.open(encoding="utf-8")
        self._children = start_services(self._system, self._ari, self._folder)
        try:
            async with aiohttp.ClientSession(base_url=self._system.address) as http:
                await until_ready(http, self._children, self._stop)
        except ChildFailed as failed:
            await self.__aexit__()
            raise CallersFailed(str(failed)) from failed
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `Callers.__aexit__`."""
        await end_all(self._children)
        if self._file is not None:
            self._file.close()

    async def call(self, stop: asyncio.Event) -> None:
        """See `Callers.call`."""
        stand_in = start_stand_in(self._ari, self._caller_arguments(), self._folder)
        self._children.append(stand_in)
        while not self.tally().over and not stop.is_set():
            self._check()
            await asyncio.sleep(READ_SECONDS)
        if self.tally().over:
            return
        # On SIGTERM the stand-in hangs up and writes the last events.
        await stand_in.end()
        if not self.tally().over:
            raise CallersFailed("the stand-in ended before the last events of its calls")

    def tally(self) -> Tally:
        """See `Callers.tally`."""
        while self._file is not None and (text := self._file.readline()):
            self._unfinished += text
            if not self._unfinished.endswith("\n"):
                break
            line, self._unfinished = self._unfinished, ""
            try:
                self._tally.add(from_line(line))
            except (ContractError, SchemeError) as error:
                raise CallersFailed(f"the stand-in wrote an invalid event: {error}") from error
        return self._tally

    def settings(self) -> Mapping[str, str]:
        """See `Callers.settings`."""
        system = self._system
        return {"kind": "stand-in", "portRange": system.port_range, "admission": system.admission}

    def _caller_arguments(self) -> list[str]:
        plan = self._plan
        return [
            *("--calls", str(plan.concurrent), "--per-second", str(plan.per_second)),
            *("--duration", str(plan.duration_seconds), "--call-duration", str(plan.call_seconds)),
            *("--events", str(self._events)),
        ]

    def _check(self) -> None:
        try:
            for child in self._children:
                child.check()
        except ChildFailed as failed:
            raise CallersFailed(str(failed)) from failed

"""Callers of the stand-in, with an echo and a relay of their own on this machine, or with a running relay.

Each part is a process of its own. Callers in the process of the load test would send in bursts while that one is busy.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import aiohttp

from rtppool_callgen.callers.interface import CallersFailed
from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.local.processes import Child, ChildFailed
from rtppool_callgen.local.system import (
    LocalSystem,
    RunningRelay,
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
# A relay repeats its connection to ARI every two seconds at the latest.
CONNECT_SECONDS = 30.0


class StandInCallers:
    """Starts echo and relay at once, unless a relay runs, and the stand-in with `call`. Logs go to `folder`."""

    def __init__(self, plan: LoadPlan, relay: LocalSystem | RunningRelay, folder: Path, stop: Stop) -> None:
        self._plan = plan
        self._relay = relay
        self._folder = folder
        self._stop = stop
        self._tally = Tally()
        self._events = folder / "events"
        self._children: list[Child] = []
        self._ari = relay.ari if isinstance(relay, RunningRelay) else new_stand_in_address()
        self._file: io.TextIOBase | None = None
        self._unfinished = ""

    async def __aenter__(self) -> Self:
        """See `Callers.__aenter__`."""
        self._events.touch()
        self._file = self._events.open(encoding="utf-8")
        try:
            if isinstance(self._relay, LocalSystem):
                await self._start(self._relay)
        except ChildFailed as failed:
            await self.__aexit__()
            raise CallersFailed(str(failed)) from failed
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self, system: LocalSystem) -> None:
        self._children = start_services(system, self._ari, self._folder)
        async with aiohttp.ClientSession(base_url=system.address) as http:
            await until_ready(http, self._children, self._stop)

    async def __aexit__(self, *_: object) -> None:
        """See `Callers.__aexit__`."""
        await end_all(self._children)
        if self._file is not None:
            self._file.close()

    async def call(self, stop: asyncio.Event) -> None:
        """See `Callers.call`."""
        stand_in = start_stand_in(self._ari, self._caller_arguments(), self._folder)
        self._children.append(stand_in)
        deadline = time.monotonic() + CONNECT_SECONDS
        while not self.tally().over and not stop.is_set():
            self._check()
            if self.tally().placed == 0 and time.monotonic() > deadline:
                raise CallersFailed(self._without_relay())
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
        relay = self._relay
        if isinstance(relay, RunningRelay):
            return {"kind": "stand-in", "ariUrl": relay.ari.url, "application": relay.application}
        return {"kind": "stand-in", "portRange": relay.port_range, "admission": relay.admission}

    def _caller_arguments(self) -> list[str]:
        plan = self._plan
        return [
            *("--calls", str(plan.concurrent), "--per-second", str(plan.per_second)),
            *("--duration", str(plan.duration_seconds), "--call-duration", str(plan.call_seconds)),
            *("--events", str(self._events)),
            *(("--application", self._relay.application) if isinstance(self._relay, RunningRelay) else ()),
        ]

    def _without_relay(self) -> str:
        application = self._relay.application if isinstance(self._relay, RunningRelay) else "rtp-pool"
        return (
            f"no relay connected to the stand-in at {self._ari.url} within {CONNECT_SECONDS:g} s; its ARI_URL, its "
            f"application {application}, and the user {self._ari.user} with the password must be the same in both"
        )

    def _check(self) -> None:
        try:
            for child in self._children:
                child.check()
        except ChildFailed as failed:
            raise CallersFailed(str(failed)) from failed

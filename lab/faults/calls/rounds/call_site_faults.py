"""EMFILE and ENOMEM at one call site of relay or echo, while every part of them is busy."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lab.base.descriptors import open_descriptors
from lab.base.errors import LabError
from lab.base.idle_connections import ask
from lab.base.places import LOOPBACK
from lab.base.proc import children_of, media_pids
from lab.base.waiting import wait_until
from lab.faults.calls.places import ECHO_HTTP_PORT, ECHO_PORT, RELAY_HTTP_PORT, TRIAL_RTP_PORT
from lab.faults.calls.rig.call_sites import BY_TURNS, CallSites, Site
from lab.faults.calls.rig.callers import Outcome, Plan
from lab.faults.calls.rig.relay import NODE
from lab.faults.calls.rig.rig import Rig
from lab.faults.calls.rounds.accounts import RECOVERY_BOUND_SECONDS
from lab.faults.calls.rounds.faults import Fault, Struck
from lab.faults.calls.rounds.pressure import relay_is_complete, stalled
from lab.faults.calls.rounds.rounds import answered
from rtppool_core.contract.pools_file import EchoTarget, NodeAssignment, PoolEntry, PoolsDocument, encode
from rtppool_core.contract.port_range import PortRange

LONG_SECONDS = 5.0
INJECTIONS = (
    ("EMFILE once", errno.EMFILE, None),
    ("ENOMEM once", errno.ENOMEM, None),
    ("5 s of both", BY_TURNS, LONG_SECONDS),
)
NEW_CALLERS, NEW_SECONDS, NEW_PER_SECOND = 2, 0.5, 10
FINISH_SECONDS = 20.0
TRACED_SECONDS = 15.0
HELD_CALL_SECONDS = 45.0
RELAY_PAGES = ("/health", "/ready", "/status", "/calls", "/metrics", "/sla")
ECHO_PAGES = ("/health", "/ready", "/metrics")


@dataclass(slots=True)
class Stirring:
    """Activity of every part of the rig: calls, requests, a new configuration, processes that end, a new connection."""

    pools: Path
    number: int = 0
    others: Outcome = field(default_factory=Outcome)

    async def stir(self, rig: Rig) -> None:
        """Reach every call site of a running system once."""
        self.number += 1
        self.write_pool(rig)
        for pid in (_busiest_media_process(rig), *children_of(rig.echo.pid)[:1]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if rig.proxy is not None:
            rig.proxy.reset()
        _, _, outcome = await asyncio.gather(
            ask(RELAY_HTTP_PORT, RELAY_PAGES, 1), ask(ECHO_HTTP_PORT, ECHO_PAGES, 1), self._call(rig)
        )
        self.others = self.others.with_other(outcome)

    def write_pool(self, rig: Rig) -> None:
        """Write the next generation of this node's pool, as the kubelet replaces a mounted file."""
        new = self.pools.with_suffix(".new")
        new.write_text(pools_file(rig, self.number + 1))
        new.replace(self.pools)

    async def is_applied(self, rig: Rig) -> bool:
        """Return whether the relay runs the latest generation, is connected and complete."""
        status = await rig.relay_view.status()
        return bool(
            status
            and status.get("appliedGeneration") == self.number + 1
            and status["ari"]["state"] == "Connected"
            and len(children_of(rig.echo.pid)) > 0
            and await relay_is_complete(rig)
        )

    async def _call(self, rig: Rig) -> Outcome:
        plan = Plan(f"stir-{self.number}", NEW_CALLERS, NEW_SECONDS, TRIAL_RTP_PORT, NEW_PER_SECOND)
        async with rig.callers.calling(plan) as calling:
            return await calling.finish(FINISH_SECONDS)


def pools_file(rig: Rig, generation: int) -> str:
    """Return a `pools.json` with one pool, which has the rig's ports and echo."""
    entry = PoolEntry(
        "chaos",
        "chaos",
        "chaos",
        generation,
        (NodeAssignment(NODE, LOOPBACK),),
        PortRange(rig.ports.first, rig.ports.last),
        echo=EchoTarget(LOOPBACK, ECHO_PORT),
    )
    return encode(PoolsDocument((entry,)))


async def inject(sites: CallSites, site: Site, stirring: Stirring, rig: Rig, _number: int) -> Struck:
    """Let calls of a site fail, once with each error and then for a while, with a recovery after each."""
    findings, notes = list[str](), list[str]()
    at, starts, before = time.monotonic(), (rig.relay.starts, rig.echo.starts), await answered(rig)
    stirring.others = Outcome()
    for name, error, seconds in INJECTIONS:
        began = time.monotonic()
        with sites.failing(site, error, seconds):
            await stirring.stir(rig)
            await asyncio.sleep(max(0.0, began + (seconds or 0.0) - time.monotonic()))
            hits = sites.hits
        relieved = time.monotonic()
        try:
            await wait_until(f"whole after {name}", partial(stirring.is_applied, rig), RECOVERY_BOUND_SECONDS)
        except LabError as error_:
            findings.append(str(error_))
        notes.append(f"{name}: {hits} calls failed, whole after {time.monotonic() - relieved:.1f} s")
        findings += [f"{each} ({name})" for each in await stalled(rig, before)]
    if (rig.relay.starts, rig.echo.starts) != starts:
        findings.append("relay or echo ended")
    return Struck(at, time.monotonic(), others=stirring.others, notes=tuple(notes), findings=tuple(findings))


def call_site_fault(sites: CallSites, site: Site, stirring: Stirring) -> Fault:
    """Return the fault of a site."""
    return Fault(
        "errno",
        str(site),
        partial(inject, sites, site, stirring),
        through_proxy=True,
        is_whole=stirring.is_applied,
        call_seconds=HELD_CALL_SECONDS,
    )


def trace_fault(sites: CallSites, found: list[Site], stirring: Stirring) -> Fault:
    """Return a round without a fault that adds the call sites of a busy rig to `found`."""

    async def trace(rig: Rig, _number: int) -> Struck:
        at = time.monotonic()
        stirring.others = Outcome()
        with sites.listed(found):
            await stirring.stir(rig)
            await wait_until("the traced rig is whole", partial(stirring.is_applied, rig), TRACED_SECONDS)
            await stirring.stir(rig)
            await wait_until("the traced rig is whole", partial(stirring.is_applied, rig), TRACED_SECONDS)
        return Struck(at, time.monotonic(), others=stirring.others, notes=(f"{len(found)} call sites",))

    return Fault(
        "trace",
        "no fault; call sites are listed",
        trace,
        through_proxy=True,
        is_whole=stirring.is_applied,
        call_seconds=HELD_CALL_SECONDS,
    )


def _busiest_media_process(rig: Rig) -> int:
    pids = media_pids(rig.relay.pid)
    if not pids:
        raise LabError(f"the relay has no media process:\n{rig.relay.tail()}")
    return max(pids, key=open_descriptors)

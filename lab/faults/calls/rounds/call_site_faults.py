"""EMFILE and ENOMEM at one call site of relay or echo, while every part of them is busy."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lab.base.descriptors import open_descriptors
from lab.base.errors import LabError
from lab.base.idle_connections import ask
from lab.base.keeper import Keeper
from lab.base.machine_load import cpu_times, load_since
from lab.base.places import LOOPBACK
from lab.base.proc import children_of, media_pids
from lab.base.waiting import wait_until
from lab.faults.calls.places import ECHO_HTTP_PORT, ECHO_PORT, RELAY_HTTP_PORT, TRIAL_RTP_PORT
from lab.faults.calls.rig.call_sites import BY_TURNS, CallSites, Site
from lab.faults.calls.rig.callers import Outcome, Plan
from lab.faults.calls.rig.relay import NODE
from lab.faults.calls.rig.rig import Rig
from lab.faults.calls.rounds.accounts import too_slow
from lab.faults.calls.rounds.faults import BACK_SECONDS, Fault, Struck
from lab.faults.calls.rounds.pressure import relay_is_complete, stalled
from lab.faults.calls.rounds.rounds import MAX_RECOVERY_SECONDS, answered
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
SITE_SECONDS, OTHER_SECONDS = 25.0, 15.0
RELAY_PAGES = ("/health", "/ready", "/status", "/calls", "/metrics", "/sla")
ECHO_ROLE = "rtppool_echo"
START_ROLES = ("rtppool_relay", ECHO_ROLE)
ECHO_PAGES = ("/health", "/ready", "/metrics")


@dataclass(slots=True)
class Stirring:
    """Activity of every part of the rig: calls, requests, a new configuration, processes that end, a new connection."""

    pools: Path
    number: int = 0
    others: Outcome = field(default_factory=Outcome)

    async def stir(self, rig: Rig, killed: Keeper | None = None) -> None:
        """Reach every call site of a running system once, or those of the start of the program that is `killed`."""
        self.number += 1
        self.write_pool(rig)
        if killed is not None:
            starts = killed.starts
            killed.kill()
            await killed.wait_for_restart(starts, BACK_SECONDS)
        else:
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
        """Return whether the relay runs the latest generation, is connected and complete, and the echo has workers."""
        if not rig.relay.runs or not rig.echo.runs:
            return False
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


@dataclass(frozen=True, slots=True)
class SiteGroup:
    """The sites of a function in one program. With `at_start` they are reached only by a program that starts."""

    role: str
    function: str
    sites: tuple[Site, ...]
    at_start: bool

    @property
    def title(self) -> str:
        """The name of the case."""
        return f"{self.function} in {self.role}{' at its start' if self.at_start else ''}"

    def killed(self, rig: Rig) -> Keeper | None:
        """Return the program that has to start again for these sites to be reached."""
        return (rig.echo if self.role.startswith(ECHO_ROLE) else rig.relay) if self.at_start else None


def groups(found: Iterable[Site], at_start: Iterable[Site]) -> list[SiteGroup]:
    """Group sites by program and function. Of those at the start, only the sites that are not reached later count."""
    later = {each.key for each in found}
    alone = [each for each in at_start if each.key not in later and each.role in START_ROLES]
    made = []
    for sites, begins in ((list(found), False), (alone, True)):
        by_name: dict[tuple[str, str], list[Site]] = {}
        for each in sites:
            by_name.setdefault((each.role, each.function), []).append(each)
        made += [SiteGroup(*name, tuple(members), begins) for name, members in sorted(by_name.items())]
    return made


async def inject(sites: CallSites, group: SiteGroup, stirring: Stirring, rig: Rig, _number: int) -> Struck:
    """Let calls of each site fail, once with each error and then for a while, with a recovery after each."""
    findings: list[str] = []
    at, before, reached, slowest = time.monotonic(), await answered(rig), 0, 0.0
    stirring.others = Outcome()
    for site in group.sites:
        hits = 0
        for name, error, seconds in INJECTIONS:
            starts = (rig.relay.starts, rig.echo.starts)
            began, cpu_before = time.monotonic(), cpu_times()
            with sites.failing(site, error, seconds):
                await stirring.stir(rig, group.killed(rig))
                await asyncio.sleep(max(0.0, began + (seconds or 0.0) - time.monotonic()))
                hits += sites.hits
            problems = []
            try:
                whole = await wait_until("whole again", partial(stirring.is_applied, rig), MAX_RECOVERY_SECONDS)
                slowest = max(slowest, whole)
                problems += too_slow(whole)
            except LabError as error_:
                problems.append(str(error_))
            problems += await stalled(rig, before)
            if not group.at_start and (rig.relay.starts, rig.echo.starts) != starts:
                problems.append("relay or echo ended")
            load = load_since(cpu_before, cpu_times())
            findings += [f"{site.frames}, {name}: {each} ({load})" for each in problems]
        reached += hits > 0
    notes = (f"{reached} of {len(group.sites)} sites failed", f"slowest recovery {slowest:.1f} s")
    return Struck(at, time.monotonic(), others=stirring.others, notes=notes, findings=tuple(findings))


def call_site_fault(sites: CallSites, group: SiteGroup, stirring: Stirring) -> Fault:
    """Return the fault of a group of sites."""
    return Fault(
        "errno",
        group.title,
        partial(inject, sites, group, stirring),
        through_proxy=True,
        is_whole=stirring.is_applied,
        call_seconds=OTHER_SECONDS + SITE_SECONDS * len(group.sites),
        starts_fail=True,
    )


def trace_fault(sites: CallSites, found: list[Site], stirring: Stirring) -> Fault:
    """Return a round without a fault that adds the call sites of a busy rig to `found`."""

    async def trace(rig: Rig, _number: int) -> Struck:
        at = time.monotonic()
        stirring.others = Outcome()
        with sites.list_reached(found):
            await stirring.stir(rig)
            await wait_until("the traced rig is whole", partial(stirring.is_applied, rig), TRACED_SECONDS)
        return Struck(at, time.monotonic(), others=stirring.others, notes=(f"{len(found)} call sites",))

    return Fault(
        "trace",
        "no fault; call sites are listed",
        trace,
        through_proxy=True,
        is_whole=stirring.is_applied,
        call_seconds=OTHER_SECONDS + SITE_SECONDS,
    )


def _busiest_media_process(rig: Rig) -> int:
    pids = media_pids(rig.relay.pid)
    if not pids:
        raise LabError(f"the relay has no media process:\n{rig.relay.tail()}")
    return max(pids, key=open_descriptors)

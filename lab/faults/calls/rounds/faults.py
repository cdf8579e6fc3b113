"""The faults: each breaks one part and notes when the part accepts connections again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lab.base.descriptors import open_descriptors
from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.base.proc import media_pids
from lab.base.waiting import wait_for_listener
from lab.faults.calls.places import ARI_PORT, ECHO_HTTP_PORT, RELAY_HTTP_PORT
from lab.faults.calls.rig.callers import Outcome
from lab.faults.calls.rig.rig import Rig

BACK_SECONDS = 20.0
DOWN_SECONDS = 3.0
HUNG_UP_MEANWHILE = 3


@dataclass(frozen=True, slots=True)
class Struck:
    """The times of a fault: its begin, and when the broken part accepts connections again (monotonic seconds).

    `hung_up` holds the SIP Call-IDs that were ended at Asterisk meanwhile, `others` the calls that were placed.
    """

    at: float
    accepts_at: float
    hung_up: frozenset[str] = frozenset()
    others: Outcome = field(default_factory=Outcome)
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


async def _always(_rig: Rig) -> bool:
    """Return that a fault asks for nothing beyond connection, flow and a new call."""
    return True


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault. With `reconnects`, the relay loses its connection to Asterisk. `strike` gets the round, from 1.

    `is_whole` holds a further condition of the recovery. Calls last `call_seconds`: longer than fault and recovery.
    With `starts_fail`, a program may end at its start by a traceback, and is started again.
    """

    name: str
    title: str
    strike: Callable[[Rig, int], Awaitable[Struck]]
    through_proxy: bool = False
    asterisk_dies: bool = False
    reconnects: bool = True
    is_whole: Callable[[Rig], Awaitable[bool]] = _always
    call_seconds: float = 11.0
    starts_fail: bool = False


async def _asterisk(rig: Rig, _number: int) -> Struck:
    starts = rig.asterisk.starts
    at = time.monotonic()
    rig.asterisk.kill()
    await rig.asterisk.wait_for_restart(starts, BACK_SECONDS)
    return Struck(at, await wait_for_listener(LOOPBACK, ARI_PORT, BACK_SECONDS))


async def _control(rig: Rig, _number: int) -> Struck:
    starts = rig.relay.starts
    at = time.monotonic()
    rig.relay.kill()
    await rig.relay.wait_for_restart(starts, BACK_SECONDS)
    return Struck(at, await wait_for_listener(LOOPBACK, RELAY_HTTP_PORT, BACK_SECONDS))


async def _media(rig: Rig, _number: int) -> Struck:
    """Kill the media process with the most descriptors: that with the calls. Recovery is measured from the kill."""
    pids = media_pids(rig.relay.pid)
    if not pids:
        raise LabError(f"the relay has no media process:\n{rig.relay.tail()}")
    at = time.monotonic()
    os.kill(max(pids, key=open_descriptors), signal.SIGKILL)
    return Struck(at, at)


async def _websocket(rig: Rig, number: int) -> Struck:
    """Reset the connection in odd rounds; silence it for a while in even ones, during which some callers hang up."""
    if rig.proxy is None:
        raise AssertionError("this fault asks for a rig with a proxy")
    at = time.monotonic()
    if number % 2:
        rig.proxy.reset()
        return Struck(at, at)
    chosen = (await rig.relay_view.calls())[:HUNG_UP_MEANWHILE]
    rig.proxy.swallow()
    for call in chosen:
        await rig.view.hang_up(call["channelId"])
    await asyncio.sleep(DOWN_SECONDS)
    rig.proxy.heal()
    return Struck(at, time.monotonic(), frozenset(call["sipCallId"] for call in chosen))


async def _echo(rig: Rig, _number: int) -> Struck:
    starts = rig.echo.starts
    at = time.monotonic()
    rig.echo.hold()
    rig.echo.end()
    await asyncio.sleep(DOWN_SECONDS)
    rig.echo.release()
    await rig.echo.wait_for_restart(starts, BACK_SECONDS)
    return Struck(at, await wait_for_listener(LOOPBACK, ECHO_HTTP_PORT, BACK_SECONDS))


FAULTS = (
    Fault("media", "media process killed", _media, reconnects=False),
    Fault("echo", "echo stopped for 3 s and started", _echo, reconnects=False),
    Fault("websocket", "ARI connection reset, or silent for 3 s", _websocket, through_proxy=True),
    Fault("control", "relay control process killed", _control),
    Fault("asterisk", "Asterisk killed and restarted", _asterisk, asterisk_dies=True),
)

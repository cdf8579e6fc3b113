"""The relays: ours, a minimal one in C, an idiomatic one in Go, and rtpengine in user space."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.bench.places import ECHO_PORT, FIRST_RELAY_PORT
from lab.bench.programs.reference_process import ReferenceProcess, running
from lab.bench.session import Session
from lab.bench.subjects.own import own_relay
from lab.bench.subjects.rtpengine import rtpengine

OURS, C, GO, RTPENGINE = "rtp-pool", "C epoll", "Go", "rtpengine"
C_OF_LONG_SLICES = "C epoll, kernel's slices"


@dataclass(frozen=True, slots=True)
class RunningRelay:
    """A relay with its calls: its ports in the order of the generator's, and its processes by role."""

    peers: Sequence[int]
    processes: Callable[[], dict[str, list[int]]]


StartRelay = Callable[[Sequence[int], Path], AbstractAsyncContextManager[RunningRelay]]


def relays(session: Session) -> dict[str, StartRelay]:
    """Return the available relays by name, ours first.

    All are scheduled alike: with the short slices that ours asks for, and without real-time priority.
    """
    programs = session.programs
    found: dict[str, StartRelay] = {
        OURS: partial(_start_ours, session.library),
        C: partial(_start_reference, programs.relay),
    }
    if session.rtpengine is not None:
        found[RTPENGINE] = partial(_start_rtpengine, session.rtpengine)
    if programs.go_relay is not None:
        found[GO] = partial(_start_reference, programs.go_relay)
    return found


def c_relay_of_long_slices(session: Session) -> StartRelay:
    """Return the relay in C with the slices that the kernel gives: the difference is what short slices cost."""
    return partial(_start_reference, session.programs.relay, short_slices=False)


@asynccontextmanager
async def _start_ours(library: Mapping[str, str], ports: Sequence[int], folder: Path) -> AsyncIterator[RunningRelay]:
    """Run our relay as images have it: every statistic on, the header extension off."""
    async with own_relay(ports, folder, {"MEDIA_SCHEDULING": "fair", **library}) as relay:
        yield RunningRelay(relay.peers, lambda: {**relay.processes(), "heartbeat": relay.heartbeat_pids()})


@asynccontextmanager
async def reference_relay(
    program: Path, ports: Sequence[int], peers: Sequence[int], *, short_slices: bool = False
) -> AsyncIterator[ReferenceProcess]:
    """Run a reference relay with one call for each port and its peer, for the length of the block."""
    async with running(program, ECHO_PORT, short_slices=short_slices) as process:
        for mine, theirs in zip(ports, peers, strict=True):
            process.send(f"{mine} {theirs}")
        process.close_input()
        await process.expect("ready")
        yield process


@asynccontextmanager
async def _start_reference(
    program: Path, ports: Sequence[int], _folder: Path, *, short_slices: bool = True
) -> AsyncIterator[RunningRelay]:
    peers = range(FIRST_RELAY_PORT, FIRST_RELAY_PORT + len(ports))
    async with reference_relay(program, peers, ports, short_slices=short_slices) as process:
        yield RunningRelay(peers, lambda: {"media": [process.pid]})


@asynccontextmanager
async def _start_rtpengine(program: Path, ports: Sequence[int], folder: Path) -> AsyncIterator[RunningRelay]:
    async with rtpengine(program, ports, ECHO_PORT, folder) as (pid, peers):
        yield RunningRelay(peers, lambda: {"media": [pid]})

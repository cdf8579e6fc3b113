"""The echoes: ours, and one in C, which is also the echo behind every relay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from lab.base.proc import children_of
from lab.bench.places import ECHO_PORT
from lab.bench.programs.compiled import Programs
from lab.bench.programs.reference_process import running
from lab.bench.subjects.own import own_echo

OURS, C = "rtp-pool echo", "C recvfrom/sendto"
C_OF_LONG_SLICES = "C recvfrom/sendto, kernel's slices"
# The limit per source stays on, but must not refuse the load of a bench from one socket.
RATE_THAT_REFUSES_NOTHING = 1_000_000

Pids = Callable[[], list[int]]
StartEcho = Callable[[], AbstractAsyncContextManager[Pids]]


def echoes(programs: Programs, folder: Path) -> dict[str, StartEcho]:
    """Return the echoes by name, ours with all filters on. Each yields its process ids.

    Ours has short slices, as it asks for. So has the one in C, in another run also those that the kernel gives.
    """
    return {
        OURS: partial(own_echo_pids, folder),
        C: partial(reference_echo, programs, short_slices=True),
        C_OF_LONG_SLICES: partial(reference_echo, programs),
    }


@asynccontextmanager
async def reference_echo(programs: Programs, *, short_slices: bool = False) -> AsyncIterator[Pids]:
    """Run the echo in C for the length of the block."""
    async with running(programs.echo, ECHO_PORT, short_slices=short_slices) as process:
        await process.expect("ready")
        yield lambda: [process.pid]


@asynccontextmanager
async def own_echo_pids(folder: Path) -> AsyncIterator[Pids]:
    """Run our echo for the length of the block; yield the ids of all its processes."""
    async with own_echo(folder, {"ECHO_RATE": str(RATE_THAT_REFUSES_NOTHING), "ECHO_SCHEDULING": "fair"}) as process:
        yield lambda: [process.pid, *children_of(process.pid)]

"""Makes the shared rows and starts media processes over them; the first one before anything else is loaded.

A media process takes about as long to be ready as the control process takes to load its own modules, and calls that a
relay left wait for both. So this imports little.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from rtppool_relay.media.rows import ROWS_NAME, SLOT_BYTES, SLOTS

# A media process's third argument: it asks for real-time priority.
REAL_TIME = "real-time"


@dataclass(frozen=True, slots=True)
class FirstMediaProcess:
    """A media process that is being started, our end of its command socket, and the rows (memfd) that it works on."""

    process: subprocess.Popen[bytes]
    commands: socket.socket
    rows_descriptor: int


def make_rows() -> int:
    """The memfd of all slots' rows, empty."""
    descriptor = os.memfd_create(ROWS_NAME, os.MFD_CLOEXEC)
    os.ftruncate(descriptor, SLOTS * SLOT_BYTES)
    return descriptor


def command_sockets() -> tuple[socket.socket, socket.socket]:
    """Ours, which does not block, and the media process's. Commands may be given at once: they wait in the socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)  # noqa: FBT003 the standard library's signature
    return ours, theirs


def start_media_process(
    theirs: socket.socket, rows_descriptor: int, *, real_time: bool = False
) -> subprocess.Popen[bytes]:
    """Start one; `theirs` is closed here. `real_time`: it asks for real-time priority."""
    descriptors = (theirs.fileno(), rows_descriptor)
    wishes = [REAL_TIME] if real_time else []
    with theirs:
        return subprocess.Popen(  # noqa: S603 our own interpreter and module
            [sys.executable, "-m", "rtppool_relay.packets.process", *map(str, descriptors), *wishes],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
        )


def start_first_media_process(*, real_time: bool = False) -> FirstMediaProcess:
    """Start the first. It ends when its command socket does, at the latest with this process."""
    rows_descriptor = make_rows()
    ours, theirs = command_sockets()
    return FirstMediaProcess(start_media_process(theirs, rows_descriptor, real_time=real_time), ours, rows_descriptor)

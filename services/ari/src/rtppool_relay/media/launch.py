"""Creation of the shared rows, and start of media processes over them.

The first one starts before the control process loads its other modules, because both take about as long, and calls of
a former relay wait for both. So this module imports little.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from rtppool_core.process.early_stop import stop_signals_blocked
from rtppool_relay.media.arguments import REAL_TIME
from rtppool_relay.media.sizes import ROWS_NAME, SLOT_BYTES, SLOTS

ERRORS_NAME = "rtp-relay-first-media-errors"
MAX_ERRORS_BYTES = 8_192
# The heartbeat whose loop is machine code.
HEARTBEAT = "rtppool_relay.packets.beat_process"


@dataclass(frozen=True, slots=True)
class FirstMediaProcess:
    """A media process that is starting, our end of its command socket, its rows and its standard error (memfds)."""

    process: subprocess.Popen[bytes]
    commands: socket.socket
    rows_descriptor: int
    errors_descriptor: int

    def take_errors(self) -> str:
        """Return the end of the text that the process has written to standard error, and forget it."""
        size = os.fstat(self.errors_descriptor).st_size
        text = os.pread(self.errors_descriptor, MAX_ERRORS_BYTES, max(0, size - MAX_ERRORS_BYTES))
        os.ftruncate(self.errors_descriptor, 0)
        return text.decode(errors="replace")


def make_rows() -> int:
    """Return a memfd for the rows of all slots, empty."""
    descriptor = os.memfd_create(ROWS_NAME, os.MFD_CLOEXEC)
    os.ftruncate(descriptor, SLOTS * SLOT_BYTES)
    return descriptor


def command_sockets() -> tuple[socket.socket, socket.socket]:
    """Return our non-blocking end and the media process's. Commands sent before it is ready wait in the socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)  # noqa: FBT003 the standard library's signature
    return ours, theirs


def start_media_process(
    theirs: socket.socket, rows_descriptor: int, errors_descriptor: int | None = None, *, real_time: bool = False
) -> subprocess.Popen[bytes]:
    """Start one and close `theirs`. `real_time`: it asks for real-time priority.

    Its standard error is `errors_descriptor`, or that of this process.
    """
    descriptors = (theirs.fileno(), rows_descriptor)
    options = [REAL_TIME] if real_time else []
    with theirs, stop_signals_blocked():
        return subprocess.Popen(  # noqa: S603 our own interpreter and module
            [sys.executable, "-m", "rtppool_relay.packets.process", *map(str, descriptors), *options],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stderr=errors_descriptor,
        )


def start_first_media_process(*, real_time: bool = False) -> FirstMediaProcess:
    """Start the first one. It ends when its command socket is closed, at the latest with this process."""
    rows_descriptor = make_rows()
    ours, theirs = command_sockets()
    # Held back, so that a relay that can't start reports the reason in one line.
    errors_descriptor = os.memfd_create(ERRORS_NAME, os.MFD_CLOEXEC)
    process = start_media_process(theirs, rows_descriptor, errors_descriptor, real_time=real_time)
    return FirstMediaProcess(process, ours, rows_descriptor, errors_descriptor)

"""Turns: locks that keep two runs from disturbing each other. The kernel frees each of them when its process ends."""

from __future__ import annotations

import contextlib
import fcntl
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import LOOPBACK

TURN_PORT = 20905


@contextlib.contextmanager
def hold_lock(lock: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the file `lock` for the length of the block, after waiting for another run to end.

    Two runs that build the same images and upgrade the same release would break each other.
    """
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is at work; this one starts when that ends")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def hold_machine(port: int = TURN_PORT) -> Iterator[None]:
    """Hold this machine for the length of the block.

    Benchmarks and fault runs use the same ports, and each would measure the load of the other.

    Raises:
        LabError: another run holds the machine.
    """
    with socket.socket() as turn:
        try:
            turn.bind((LOOPBACK, port))
        except OSError as error:
            raise LabError(
                f"a benchmark or a fault run is at work on this machine (it holds {LOOPBACK}:{port}); wait for its end"
            ) from error
        yield

"""One bench at a time on a machine: two would take each other's ports and measure each other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lab.bench.places import LOOPBACK, TURN_PORT
from lab.bench.programs.compiled import BenchError


@contextmanager
def own_turn() -> Iterator[None]:
    """Hold a port for the length of the block; however the bench ends, the kernel lets go of it.

    Raises:
        BenchError: another bench holds it.
    """
    with socket.socket() as turn:
        try:
            turn.bind((LOOPBACK, TURN_PORT))
        except OSError as error:
            raise BenchError(
                f"another bench runs on this machine (it holds {LOOPBACK}:{TURN_PORT}); wait for its end"
            ) from error
        yield

"""One run at a time on a machine, and none beside a benchmark: they would take each other's ports and processor."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lab.faults.calls.errors import ChaosError
from lab.faults.calls.places import LOOPBACK, TURN_PORT


@contextmanager
def own_turn() -> Iterator[None]:
    """Hold a port for the length of the block; however the run ends, the kernel lets go of it.

    Raises:
        ChaosError: another run, or a benchmark, holds it.
    """
    with socket.socket() as turn:
        try:
            turn.bind((LOOPBACK, TURN_PORT))
        except OSError as error:
            raise ChaosError(
                f"a benchmark or another fault run is at work on this machine (it holds {LOOPBACK}:{TURN_PORT}); "
                "wait for its end"
            ) from error
        yield

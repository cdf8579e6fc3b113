"""One run at a time: two that build the same images and upgrade the same release would break each other."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from lab.base.steps import Steps


@contextlib.contextmanager
def own_turn(lock: Path, steps: Steps) -> Iterator[None]:
    """Hold `lock` while the block runs, after waiting for another run to end. The kernel frees it in any case."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            steps.say("another run is at work; this one goes on when that ends")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""A program that keeps a processor busy until its parent ends: `python -m rtppool_callgen.demo.busy_process N`."""

from __future__ import annotations

import os
import sys


def main(processor: str) -> None:
    """Compute on one processor."""
    parent = os.getppid()
    os.sched_setaffinity(0, {int(processor)})
    while os.getppid() == parent:
        for _ in range(10_000):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The sizes of the shared rows (`rows`), and the number of media processes.

They are apart from the rows, because a relay starts a media process before it loads numpy.
"""

from __future__ import annotations

ROWS_PER_SLOT = 1024  # 20 s at 50 packets a second
ROW_BYTES = 128  # one cache line for every packet, one more for the echo's extension
HEADER_BYTES = 4096  # a page, so that rows of neighbours never share one
SLOT_BYTES = HEADER_BYTES + ROWS_PER_SLOT * ROW_BYTES
SLOTS = 4096
# Name of the memfd, visible among a process's descriptors.
ROWS_NAME = "rtp-relay-rows"
# A media process needs half of a core for them (docs/performance.md).
CALLS_PER_PROCESS = 512


def media_processes_for(ports: int, processors: int) -> int:
    """Return how many media processes a range of ports needs, at most one for two processors.

    Echo, kernel and control process need the others.
    """
    needed = -(-min(ports, SLOTS) // CALLS_PER_PROCESS)
    return max(1, min(needed, processors // 2))

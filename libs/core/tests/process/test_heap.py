"""Free pages between blocks in use."""

from __future__ import annotations

import resource
from pathlib import Path

from rtppool_core.process.heap import release_free_pages

BLOCKS = 20_000
BLOCK_BYTES = 4_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_holes_between_blocks_in_use_go_back_to_the_kernel() -> None:
    blocks = [bytes([number % 251]) * BLOCK_BYTES for number in range(BLOCKS)]
    kept = blocks[::100]
    del blocks
    before = resident_bytes()
    release_free_pages()
    assert before - resident_bytes() > BLOCKS * BLOCK_BYTES // 2
    assert len(kept) == BLOCKS // 100

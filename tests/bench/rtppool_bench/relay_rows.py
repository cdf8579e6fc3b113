"""The rows that our relay writes for its packets, read from outside through its memfd."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np

from rtppool_bench.programs import BenchError
from rtppool_relay.row_reader import Rows, read_rows
from rtppool_relay.rows import HEADER_BYTES, ROWS_PER_SLOT, SLOT_BYTES, SLOTS, WORDS, WRITTEN_DTYPE, Word, slot_offset

MEMFD = "rtp-relay-rows"


class RelayRows:
    """A read-only view of the rows of a relay, whose control process is `pid`."""

    def __init__(self, pid: int) -> None:
        """Find the memfd among the process's descriptors.

        Raises:
            BenchError: there is none.
        """
        descriptor = os.open(_memfd_of(pid), os.O_RDONLY)
        try:
            self._memory = mmap.mmap(descriptor, SLOTS * SLOT_BYTES, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)

    def of_stream(self, ssrc: int) -> Rows:
        """A copy of the rows of this SSRC; the oldest of more than `ROWS_PER_SLOT` packets are gone."""
        for slot in range(SLOTS):
            if self._words(slot)[Word.SSRC] == ssrc:
                rows = np.frombuffer(self._memory, WRITTEN_DTYPE, ROWS_PER_SLOT, slot_offset(slot) + HEADER_BYTES)
                return read_rows(rows[(rows["ssrc"] == ssrc) & (rows["index"] != 0)])
        raise BenchError(f"no slot of the relay's rows holds SSRC {ssrc}")

    def _words(self, slot: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return np.frombuffer(self._memory, np.uint64, WORDS, slot_offset(slot))


def _memfd_of(pid: int) -> Path:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = descriptor.readlink()
        except FileNotFoundError:
            continue
        if MEMFD in str(target):
            return descriptor
    raise BenchError(f"process {pid} holds no {MEMFD}")

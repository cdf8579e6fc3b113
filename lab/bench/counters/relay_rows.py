"""The rows of our relay, read from outside through its memfd."""

from __future__ import annotations

import numpy as np

from lab.base.errors import LabError
from lab.base.relay_rows import map_rows
from rtppool_relay.media.rows import WORDS, WRITTEN_DTYPE, Word, slot_offset
from rtppool_relay.media.sizes import HEADER_BYTES, ROWS_PER_SLOT, SLOTS
from rtppool_relay.streams.row_reader import Rows, read_rows


class RelayRows:
    """A read-only view of the rows of the relay with the control process `pid`."""

    def __init__(self, pid: int) -> None:
        """Map the memfd among the process's descriptors.

        Raises:
            LabError: the process holds no rows.
        """
        self._memory = map_rows(pid)

    def of_stream(self, ssrc: int) -> Rows:
        """Return a copy of the rows of this SSRC: the latest `ROWS_PER_SLOT` packets at most."""
        for slot in range(SLOTS):
            if self._words(slot)[Word.SSRC] == ssrc:
                rows = np.frombuffer(self._memory, WRITTEN_DTYPE, ROWS_PER_SLOT, slot_offset(slot) + HEADER_BYTES)
                return read_rows(rows[(rows["ssrc"] == ssrc) & (rows["index"] != 0)])
        raise LabError(f"no slot of the relay's rows holds SSRC {ssrc}")

    def _words(self, slot: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return np.frombuffer(self._memory, np.uint64, WORDS, slot_offset(slot))

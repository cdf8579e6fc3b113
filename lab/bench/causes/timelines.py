"""Timelines of packets, from the load generator's records and the reflector's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.bench.causes.truth import Timelines
from lab.bench.load.load import Load
from lab.bench.load.streams import stream_of

RECORD = np.dtype([("ssrc", "<u4"), ("sequence", "<u4"), ("arrived_ns", "<i8"), ("departed_ns", "<i8")])
Records = NDArray[np.void]


def read_records(path: Path) -> Records:
    """Read the reflector's file and delete it."""
    records = np.fromfile(path, RECORD)
    path.unlink()
    return records


def timelines(load: Load, records: Records, seed: int) -> Timelines:
    """Join both records by SSRC and sequence number. A packet that never returned has no timeline."""
    found = [_of_call(load, records, seed, call) for call in range(load.scheduled_ns.shape[0])]
    return Timelines(*np.concatenate(found, axis=1))


def _of_call(load: Load, records: Records, seed: int, call: int) -> NDArray[np.int64]:
    stream = stream_of(seed, call)
    own = records[(records["ssrc"] == stream.ssrc) & (records["departed_ns"] > 0)]
    number = (own["sequence"].astype(np.int64) - stream.sequence) & 0xFFFF
    returned = load.returned_ns[call][number]
    rows = np.stack(
        [load.scheduled_ns[call][number], load.sent_ns[call][number], own["arrived_ns"], own["departed_ns"], returned]
    )
    kept: NDArray[np.int64] = rows[:, returned > 0].astype(np.int64)
    return kept

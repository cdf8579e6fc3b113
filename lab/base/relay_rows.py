"""The rows of a running relay, mapped from outside."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from lab.base.errors import LabError
from rtppool_relay.media.sizes import ROWS_NAME, SLOT_BYTES, SLOTS


def map_rows(pid: int) -> mmap.mmap:
    """Map the rows of the relay whose control process is `pid`, read-only.

    Raises:
        LabError: that process holds none.
    """
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = descriptor.readlink()
        except FileNotFoundError:
            continue
        if ROWS_NAME in str(target):
            opened = os.open(descriptor, os.O_RDONLY)
            try:
                return mmap.mmap(opened, SLOTS * SLOT_BYTES, prot=mmap.PROT_READ)
            finally:
                os.close(opened)
    raise LabError(f"process {pid} holds no {ROWS_NAME}")

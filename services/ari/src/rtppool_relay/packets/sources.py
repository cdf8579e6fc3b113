"""The source of the machine code, as one number: constants and functions of imported files are part of it, too."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import rtppool_core

_HERE = Path(__file__).parent
# The files of compiled functions and all their imports from our packages; a test compares them.
SOURCES: Mapping[Path, tuple[str, ...]] = {
    _HERE: (
        "compiled", "departure_stamps", "entry_points", "heartbeat", "memory", "packet_path", "sources", "system_calls",
    ),
    _HERE.parent / "media": ("rows", "sizes"),
    Path(rtppool_core.__file__).parent: (
        "host/beat_calls", "host/beat_loop", "host/beat_words", "host/kernel_texts", "host/own_time",
        "net/udp", "rtp/echo_extension", "rtp/header", "rtp/serial", "units",
    ),
}  # fmt: skip


@cache
def source_stamp() -> int:
    """Return a checksum of all files of `SOURCES`."""
    stamp = 0
    for folder, names in SOURCES.items():
        for name in names:
            stamp = zlib.crc32((folder / f"{name}.py").read_bytes(), stamp)
    return stamp

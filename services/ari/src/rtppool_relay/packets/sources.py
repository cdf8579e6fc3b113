"""The files of the relay's compiled functions and all their imports from our packages; a test compares them."""

from __future__ import annotations

from pathlib import Path

from rtppool_core.compiled.sources import CORE, KIT, Sources

_HERE = Path(__file__).parent
SOURCES: Sources = {
    _HERE: (
        "arrivals", "compiled", "departure_stamps", "entry_points", "heartbeat", "joining", "layout", "memory",
        "packet_path", "sources",
    ),
    _HERE.parent / "media": ("rows", "sizes"),
    CORE: (
        *KIT, "compiled/library",
        "host/beat_calls", "host/beat_loop", "host/beat_words", "host/kernel_texts", "host/own_time", "net/udp",
        "rtp/echo_extension", "rtp/header", "rtp/serial", "units",
    ),
}  # fmt: skip

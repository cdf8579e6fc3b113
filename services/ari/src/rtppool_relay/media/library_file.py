"""The place of the packet path's library, apart from all code: a heartbeat imports little."""

from __future__ import annotations

from pathlib import Path

# In an image. Where there is none, a media process compiles with numba.
LIBRARY = Path(__file__).parent.parent / "packets" / "packet_path.so"

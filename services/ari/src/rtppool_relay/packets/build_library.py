"""The build of the packet path's library: `python -m rtppool_relay.packets.build_library [FILE]`."""

from __future__ import annotations

import sys

from rtppool_core.compiled.build import build_by_command
from rtppool_relay.media.library_file import LIBRARY
from rtppool_relay.packets.entry_points import ENTRY_POINTS
from rtppool_relay.packets.sources import SOURCES

if __name__ == "__main__":
    sys.exit(build_by_command(LIBRARY, ENTRY_POINTS, SOURCES))

"""The build of the echo's library: `python -m rtppool_echo.reflector.build_library [FILE]`."""

from __future__ import annotations

import sys

from rtppool_core.compiled.build import build_by_command
from rtppool_echo.library_file import LIBRARY
from rtppool_echo.reflector.entry_points import ENTRY_POINTS
from rtppool_echo.reflector.sources import SOURCES

if __name__ == "__main__":
    sys.exit(build_by_command(LIBRARY, ENTRY_POINTS, SOURCES))

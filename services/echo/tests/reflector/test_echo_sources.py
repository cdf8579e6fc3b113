"""Machine code of the echo, of numba's cache or as a library, must not outlive its source code."""

from __future__ import annotations

import rtppool_echo
from rtppool_echo.reflector.sources import SOURCES
from rtppool_testing.sources import reached_by


def test_compiled_code_is_valid_for_every_file_that_it_is_made_of() -> None:
    listed = {folder / f"{name}.py" for folder, names in SOURCES.items() for name in names}
    assert reached_by(rtppool_echo, "reflector/entry_points") == listed

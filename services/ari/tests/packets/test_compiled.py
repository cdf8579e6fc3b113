"""Machine code on disk, of numba's cache or as a library, must not outlive its source code."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import rtppool_relay
from rtppool_core.rtp import header as rtp
from rtppool_relay.packets import sources
from rtppool_relay.packets.packet_path import _defect_at
from rtppool_testing.sources import reached_by


def test_compiled_code_is_valid_for_every_file_that_it_is_made_of() -> None:
    listed = {folder / f"{name}.py" for folder, names in sources.SOURCES.items() for name in names}
    assert reached_by(rtppool_relay, "packets/entry_points") == listed


@settings(deadline=None)  # the first call may compile
@given(st.binary(max_size=64), st.integers(0, 80))
def test_compiled_code_finds_the_same_defects_as_core(data: bytes, size: int) -> None:
    size = min(size, len(data))
    room = np.frombuffer(data.ljust(80, b"\0"), np.uint8).copy()
    assert _defect_at(room, 0, size) == rtp.defect_at(data, 0, size)

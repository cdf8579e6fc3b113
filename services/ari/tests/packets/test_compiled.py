"""Machine code on disk, of numba's cache or as a library, must not outlive its source code."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import rtppool_core
import rtppool_relay
from rtppool_core.rtp import header as rtp
from rtppool_relay.packets import sources
from rtppool_relay.packets.packet_path import _defect_at

PACKAGES = {name: Path(module.__file__ or "").parent for name, module in
            (("rtppool_core", rtppool_core), ("rtppool_relay", rtppool_relay))}  # fmt: skip


def imported(file: Path) -> set[Path]:
    """The files of ours that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = [name.split(".") for name in names]
    places = (
        PACKAGES[package].joinpath(*rest).with_suffix(".py") for package, *rest in parts if package in PACKAGES and rest
    )
    return {place for place in places if place.exists()}


def test_compiled_code_is_valid_for_every_file_that_it_is_made_of() -> None:
    reached: set[Path] = set()
    waiting = {PACKAGES["rtppool_relay"] / "packets/entry_points.py"}
    while waiting:
        file = waiting.pop()
        reached.add(file)
        waiting |= imported(file) - reached
    assert reached == {folder / f"{name}.py" for folder, names in sources.SOURCES.items() for name in names}


@settings(deadline=None)  # the first call may compile
@given(st.binary(max_size=64), st.integers(0, 80))
def test_compiled_code_finds_the_same_defects_as_core(data: bytes, size: int) -> None:
    size = min(size, len(data))
    room = np.frombuffer(data.ljust(80, b"\0"), np.uint8).copy()
    assert _defect_at(room, 0, size) == rtp.defect_at(data, 0, size)

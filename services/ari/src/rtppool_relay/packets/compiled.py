"""The compiler of the relay's machine code."""

from __future__ import annotations

from pathlib import Path

from rtppool_core.compiled.compiler import Compiler
from rtppool_relay.packets.sources import SOURCES

compiled = Compiler(SOURCES, Path(__file__).parent / "__pycache__").compiled

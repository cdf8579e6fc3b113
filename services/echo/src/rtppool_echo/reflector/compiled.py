"""The compiler of the echo's machine code, with the functions of its rules."""

from __future__ import annotations

from pathlib import Path

from rtppool_core.compiled.compiler import Compiler, register
from rtppool_core.rtp import header
from rtppool_echo import socket_name
from rtppool_echo.messages import answer_ancillary
from rtppool_echo.reflector import batch, extension
from rtppool_echo.reflector.sources import SOURCES
from rtppool_echo.rules import (
    rate_limit,
    received_counts,
    recent_answers,
    sender_limits,
    sender_table,
    source_rules,
)

compiled = Compiler(SOURCES, Path(__file__).parent / "__pycache__").compiled
register(header, socket_name, answer_ancillary, batch, extension)
register(rate_limit, received_counts, recent_answers, sender_limits, sender_table, source_rules)

"""Ports and folders of the benchmarks. The ports are on loopback, apart from those of a cluster."""

from __future__ import annotations

from lab.base.places import REPOSITORY

OUTPUT = REPOSITORY / "build/bench"
PAGE = REPOSITORY / "docs/performance.md"

# All are below the ephemeral range. rtpengine uses four ports for a call, every other relay one.
FIRST_RELAY_PORT, LAST_RELAY_PORT = 26000, 31999
ECHO_PORT, ECHO_HTTP_PORT = 20900, 20901
RELAY_HTTP_PORT = 20902
RTPENGINE_CONTROL_PORT = 20903
FIRST_LOAD_PORT = 24000
# A second load, through the C relay beside ours.
FIRST_BESIDE_LOAD_PORT, FIRST_BESIDE_RELAY_PORT = 25900, 31900
STRANGER_PORT = 20904

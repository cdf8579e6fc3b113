"""Ports of the benchmarks, on loopback, where nothing else of the product is: a cluster can run beside them."""

from __future__ import annotations

from pathlib import Path

LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "lab/bench/reference"
OUTPUT = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "performance.md"

# Below the range of ephemeral ports. rtpengine takes four for a call, everyone else one.
FIRST_RELAY_PORT, LAST_RELAY_PORT = 26000, 31999
ECHO_PORT, ECHO_HTTP_PORT = 20900, 20901
RELAY_HTTP_PORT = 20902
RTPENGINE_CONTROL_PORT = 20903
FIRST_LOAD_PORT = 24000
STRANGER_PORT = 20904
TURN_PORT = 20905

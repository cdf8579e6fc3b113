"""Ports of the benchmarks, on loopback, where nothing else of the product is: a cluster can run beside them."""

from __future__ import annotations

from pathlib import Path

LOOPBACK = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[3]
REFERENCE = Path(__file__).resolve().parents[1] / "reference"
OUTPUT = ROOT / "build" / "bench"

FIRST_RELAY_PORT, LAST_RELAY_PORT = 20000, 20899
ECHO_PORT, ECHO_HTTP_PORT = 20900, 20901
RELAY_HTTP_PORT = 20902
RTPENGINE_CONTROL_PORT = 20903
FIRST_LOAD_PORT = 23000
STRANGER_PORT = 24900

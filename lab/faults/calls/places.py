"""Ports and folders of the fault runs: on loopback, where neither a cluster nor the benchmarks have theirs."""

from __future__ import annotations

from pathlib import Path

LOOPBACK = "127.0.0.1"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SCENARIOS = HERE / "sipp"
OUTPUT = ROOT / "build" / "chaos"
PAGE = ROOT / "docs" / "chaos.md"
REFERENCE = ROOT / "lab" / "bench" / "reference"  # programs in C
ASTERISK_FILES = (ROOT / "tests" / "e2e" / "asterisk", HERE / "asterisk")  # the later wins

# All below the ephemeral range. The relay's own range is a setting of the run.
SIP_PORT, ARI_PORT, PROXY_PORT = 20910, 20911, 20912
RELAY_HTTP_PORT, ECHO_PORT, ECHO_HTTP_PORT = 20913, 20914, 20915
TURN_PORT = 20905  # the benchmarks': what breaks things and what measures them never run at the same time
FIRST_CALLER_SIP_PORT, CALLER_SIP_PORTS = 20930, 60
FIRST_ASTERISK_RTP_PORT, LAST_ASTERISK_RTP_PORT = 18000, 19999
# Two SIPps may be at work at a time: one whose calls are held, and one that tries whether calls go through. Each takes
# two ports more for every call.
HELD_RTP_PORT, TRIAL_RTP_PORT = 12000, 15000

"""Ports and folders of the fault runs. The ports are on loopback, apart from those of clusters and benchmarks."""

from __future__ import annotations

from pathlib import Path

from lab.base.places import REPOSITORY

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE / "sipp"
OUTPUT = REPOSITORY / "build/chaos"
PAGE = REPOSITORY / "docs/chaos.md"
ASTERISK_FILES = (REPOSITORY / "tests/e2e/asterisk", HERE / "asterisk")  # a later file replaces an earlier one

# All are below the ephemeral range. The relay's own range is a setting of the run.
SIP_PORT, ARI_PORT, PROXY_PORT = 20910, 20911, 20912
RELAY_HTTP_PORT, ECHO_PORT, ECHO_HTTP_PORT = 20913, 20914, 20915
TRANSFER_SIP_PORT, TRANSFERRED_SIP_PORT = 20916, 20917
FIRST_CALLER_SIP_PORT, CALLER_SIP_PORTS = 20930, 60
FIRST_ASTERISK_RTP_PORT, LAST_ASTERISK_RTP_PORT = 18000, 19999
# Two SIPps may run at a time: one holds calls, one places trial calls. Each uses two ports more for every call.
HELD_RTP_PORT, TRIAL_RTP_PORT = 12000, 15000

"""Shared by echo, relay, operator and call generator: RTP, statistics, ports and the two contracts."""

__version__ = "0.1.0"

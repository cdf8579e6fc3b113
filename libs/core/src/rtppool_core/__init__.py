"""What the echo, the relay, the operator and the stand-in share: RTP, statistics, ports and the two contracts."""

__version__ = "0.1.0"

"""RTP packets of a G.711 call: 20 ms of payload each, timestamps in step with sequence numbers."""

from __future__ import annotations

from rtppool_core.rtp.header import RtpHeader, build

SAMPLES = 160


def rtp_packet(sequence: int, ssrc: int = 7, payload: bytes = b"p" * SAMPLES, *, marker: bool = False) -> bytes:
    """Return the packet with this sequence number."""
    return build(RtpHeader(0, sequence, sequence * SAMPLES, ssrc, marker), payload)

"""The RTP stream of a call as Asterisk sends it, 20 ms of µ-law per packet, and the count of its returns."""

from __future__ import annotations

from dataclasses import dataclass

from rtppool_core.rtp.header import PCMU_PAYLOAD_TYPE, RtpHeader, build, defect

PACKET_SECONDS = 0.020
SAMPLES = 160
# A square tone of 400 Hz: ten samples up, ten down, in µ-law.
TONE = (b"\x9e" * 10 + b"\x1e" * 10) * (SAMPLES // 20)
_SEQUENCE_OFFSET, _SSRC_OFFSET = 2, 8


@dataclass(slots=True)
class RtpSource:
    """The stream of a media channel. Counts sent packets, returned ones, and foreign ones."""

    ssrc: int
    sequence: int
    timestamp: int
    sent: int = 0
    returned: int = 0
    foreign: int = 0

    def next_packet(self) -> bytes:
        """Return the next packet. The first one has the marker (RFC 3551 section 4.1)."""
        header = RtpHeader(PCMU_PAYLOAD_TYPE, self.sequence, self.timestamp, self.ssrc, marker=self.sent == 0)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + SAMPLES) & 0xFFFFFFFF
        self.sent += 1
        return build(header, TONE)

    def count_received(self, packet: bytes) -> int | None:
        """Count a received packet. Returns its sequence number, or None for a foreign packet."""
        own = defect(packet, len(packet)) is None and packet[_SSRC_OFFSET : _SSRC_OFFSET + 4] == self.ssrc.to_bytes(4)
        if not own:
            self.foreign += 1
            return None
        self.returned += 1
        return int.from_bytes(packet[_SEQUENCE_OFFSET : _SEQUENCE_OFFSET + 2])

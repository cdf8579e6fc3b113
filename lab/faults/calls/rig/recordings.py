"""RTP recordings (pcap) for SIPp, whose own stream has neither a change of SSRC nor telephone events."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PACKET_MICROSECONDS = 20_000
SAMPLES = 160
ULAW, TELEPHONE_EVENT = 0, 101
SILENCE = b"\xff" * SAMPLES
VOLUME_DBM0 = 10
END_BIT = 0x80
END_REPEATED = 3  # RFC 4733 section 2.5.1.4

# pcap's headers (draft-ietf-opsawg-pcap): microseconds, Ethernet; then Ethernet II, IPv4 without options, UDP.
_GLOBAL = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
_RECORD = struct.Struct("<IIII")
_ETHERNET = bytes(12) + b"\x08\x00"
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_RTP = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_UDP_PROTOCOL, _PORT, _LOOPBACK = 17, 6000, bytes((127, 0, 0, 1))


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet and its time in µs from the beginning."""

    at_microseconds: int
    rtp: bytes


@dataclass(slots=True)
class Speaker:
    """An RTP source that talks and presses keys, 20 ms a packet."""

    ssrc: int
    sequence: int
    timestamp: int
    at_microseconds: int = 0

    def talk(self, packets: int) -> Iterator[Packet]:
        """Yield µ-law packets, with the marker on the first packet of the talkspurt (RFC 3551 section 4.1)."""
        for number in range(packets):
            yield self._packet(ULAW, self.timestamp, SILENCE, marker=number == 0)
            self.timestamp += SAMPLES

    def press(self, key: int, packets: int) -> Iterator[Packet]:
        """Yield a telephone event of so many packets, with its end repeated (RFC 4733 section 2.5.1)."""
        began = self.timestamp
        for number in range(packets + END_REPEATED - 1):
            ended = number >= packets - 1
            duration = min(number + 1, packets) * SAMPLES
            event = _EVENT.pack(key, (END_BIT if ended else 0) | VOLUME_DBM0, duration)
            yield self._packet(TELEPHONE_EVENT, began, event, marker=number == 0)
        self.timestamp = began + (packets + END_REPEATED - 1) * SAMPLES

    def _packet(self, payload_type: int, timestamp: int, payload: bytes, *, marker: bool) -> Packet:
        second = payload_type | (0x80 if marker else 0)
        header = _RTP.pack(0x80, second, self.sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self.ssrc)
        packet = Packet(self.at_microseconds, header + payload)
        self.sequence += 1
        self.at_microseconds += PACKET_MICROSECONDS
        return packet


def pcap(packets: Iterable[Packet]) -> bytes:
    """Return the pcap file of these packets."""
    parts = [_GLOBAL]
    for packet in packets:
        udp = _UDP.pack(_PORT, _PORT, _UDP.size + len(packet.rtp), 0) + packet.rtp
        length = _IPV4.size + len(udp)
        ip = _IPV4.pack(0x45, 0, length, 0, 0, 64, _UDP_PROTOCOL, 0, _LOOPBACK, _LOOPBACK)
        frame = _ETHERNET + ip + udp
        seconds, microseconds = divmod(packet.at_microseconds, 1_000_000)
        parts += [_RECORD.pack(seconds, microseconds, len(frame), len(frame)), frame]
    return b"".join(parts)


def recordings() -> dict[str, bytes]:
    """Return the recordings of the scenarios by file name."""
    keys = Speaker(0x30405060, 50_000, 8_000)
    dialling = [*keys.talk(50)]
    for key in (1, 2, 3, 11):
        dialling += [*keys.press(key, 6), *keys.talk(25)]
    return {
        "first.pcap": pcap(Speaker(0x10203040, 65_500, 0xFFFFF000).talk(150)),
        "second.pcap": pcap(Speaker(0x50607080, 17, 123_456).talk(150)),
        "keys.pcap": pcap(dialling),
    }

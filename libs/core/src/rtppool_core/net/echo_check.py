"""RTP packets to an echo over a connected socket, and a count of the answers."""

from __future__ import annotations

import select
import socket
import statistics
import time
from dataclasses import dataclass, field

from rtppool_core.rtp import header as rtp

PACKET_EVERY_SECONDS = 0.02
SAMPLES_PER_PACKET = 160
SILENCE_ULAW = b"\xff" * SAMPLES_PER_PACKET
SSRC = 0x52545043
MAX_DATAGRAM_BYTES = 65_535
# All values of the sequence number.
MAX_PACKETS = 65_536


@dataclass(slots=True)
class Outcome:
    """The fate of the packets: round trips in ns by sequence number, and answers with other bytes."""

    sent: int = 0
    round_trips_ns: dict[int, int] = field(default_factory=dict)
    changed: int = 0
    error: str = ""

    @property
    def answered(self) -> int:
        """Packets with an unchanged answer."""
        return len(self.round_trips_ns)

    @property
    def lost(self) -> int:
        """Packets without an unchanged answer."""
        return self.sent - self.answered

    @property
    def median_ns(self) -> float | None:
        """The median round trip, None without an answer."""
        return statistics.median(self.round_trips_ns.values()) if self.round_trips_ns else None

    def sentence(self, target: str) -> str:
        """Return the outcome as one line of text."""
        text = f"echo {target}: sent {self.sent}, answered {self.answered}, lost {self.lost}"
        if self.changed:
            text += f", {self.changed} answers with other bytes"
        median_ns = self.median_ns
        if median_ns is not None:
            times_ns = self.round_trips_ns.values()
            text += (
                f"; round trip min {min(times_ns) / 1e6:.3f} ms, median {median_ns / 1e6:.3f} ms, "
                f"max {max(times_ns) / 1e6:.3f} ms"
            )
        return f"{text}; {self.error}" if self.error else text


def packet(number: int) -> bytes:
    """Return packet `number` of the stream: 20 ms of µ-law silence."""
    header = rtp.RtpHeader(
        payload_type=rtp.PCMU_PAYLOAD_TYPE,
        sequence=number,
        timestamp=number * SAMPLES_PER_PACKET,
        ssrc=SSRC,
        marker=number == 0,
    )
    return rtp.build(header, SILENCE_ULAW)


def check(sock: socket.socket, packets: int, wait_seconds: float) -> Outcome:
    """Send packets over a connected socket, one every 20 ms, then wait up to `wait_seconds` for the last answers."""
    outcome = Outcome()
    sent_at_ns: dict[int, int] = {}
    try:
        next_at = time.monotonic()
        for number in range(packets):
            sent_at_ns[number] = time.monotonic_ns()
            sock.send(packet(number))
            outcome.sent += 1
            next_at += PACKET_EVERY_SECONDS
            _receive_until(sock, next_at, sent_at_ns, outcome)
        _receive_until(sock, time.monotonic() + wait_seconds, sent_at_ns, outcome)
    except ConnectionRefusedError:
        outcome.error = "connection refused: no echo listens there"
    except OSError as error:
        outcome.error = f"network error: {error.strerror}"
    return outcome


def _receive_until(sock: socket.socket, deadline: float, sent_at_ns: dict[int, int], outcome: Outcome) -> None:
    """Receive answers until the deadline, or until all packets are sent and answered."""
    while (left := deadline - time.monotonic()) > 0:
        if not sent_at_ns and left > PACKET_EVERY_SECONDS:
            return
        if not select.select([sock], [], [], left)[0]:
            return
        answer = sock.recv(MAX_DATAGRAM_BYTES)
        arrived_ns = time.monotonic_ns()
        reason = rtp.defect(answer, len(answer))
        number = rtp.parse(answer).sequence if reason is None else -1
        if number not in sent_at_ns or answer != packet(number):
            outcome.changed += 1
            continue
        outcome.round_trips_ns[number] = arrived_ns - sent_at_ns.pop(number)

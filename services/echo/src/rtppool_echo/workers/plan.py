"""The command line of a reflecting process."""

from __future__ import annotations

from dataclasses import dataclass

ALIVE_EVERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """All that a reflecting process needs: descriptors that it inherits, and settings.

    `real_time`: ask for real-time priority. `watched`: the processors with a heartbeat, whose memory has the descriptor
    `heartbeats_descriptor`.
    """

    worker: int
    socket_descriptor: int
    counters_descriptor: int
    life_descriptor: int
    own_port: int
    allow: tuple[str, ...]
    dscp: int | None
    rate: int
    rate_per_address: int
    rtp_only: bool
    real_time: bool = False
    heartbeats_descriptor: int | None = None
    watched: tuple[int, ...] = ()

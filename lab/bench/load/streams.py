"""The load generator's streams, drawn from the seed as in `reference/wire.h`."""

from __future__ import annotations

from dataclasses import dataclass

_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Stream:
    """A call's SSRC and its first sequence number."""

    ssrc: int
    sequence: int


def stream_of(seed: int, call: int) -> Stream:
    """Return the stream of a call, counted from 0."""
    state = (seed * 1000003 + call) & _MASK
    ssrc, state = _chance(state)
    _timestamp, state = _chance(state)
    sequence, _ = _chance(state)
    return Stream((ssrc & 0xFFFFFFFF) | 1, sequence & 0xFFFF)


def _chance(state: int) -> tuple[int, int]:
    """Return a random number and the next state of splitmix64."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31), state

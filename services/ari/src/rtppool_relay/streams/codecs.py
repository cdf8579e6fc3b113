"""The codec of packets, by payload type (RFC 3551 section 6).

R of the E-model is known for G.711 alone. A wideband codec has another scale, and a dynamic payload type names none.
Digits and comfort noise belong to the codec beside which they are sent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtppool_core.rtp.header import (
    COMFORT_NOISE_PAYLOAD_TYPE,
    PCMA_PAYLOAD_TYPE,
    PCMU_PAYLOAD_TYPE,
    TELEPHONE_EVENT_PAYLOAD_TYPE,
)

Int64s = NDArray[np.int64]
Flags = NDArray[np.bool_]

G711_CLOCK_RATE_HZ = 8000
_G711 = np.isin(np.arange(256), (PCMU_PAYLOAD_TYPE, PCMA_PAYLOAD_TYPE))
_BESIDE = np.isin(np.arange(256), (TELEPHONE_EVENT_PAYLOAD_TYPE, COMFORT_NOISE_PAYLOAD_TYPE))


def carries_audio(payload_types: NDArray[np.uint8]) -> Flags:
    """Flag the packets whose timestamp steps by the audio in a packet: neither digits nor comfort noise."""
    flags: Flags = ~_BESIDE[payload_types]
    return flags


def is_g711(payload_types: NDArray[np.uint8], clock_rates_hz: Int64s) -> tuple[Flags, Flags]:
    """Flag the packets of G.711, and those of another codec."""
    g711: Flags = _G711[payload_types] & (clock_rates_hz == G711_CLOCK_RATE_HZ)
    return g711, carries_audio(payload_types) & ~g711

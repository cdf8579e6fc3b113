"""The E-model of ITU-T G.107 with its default values: the R factor, and from it MOS, for G.711 over a packet network.

An estimate from delay and loss alone. It knows nothing of the audio, and an echo leg is not mouth to ear.
The formulas are those of G.107 section 7. Loss robustness values are of G.113 Appendix I, for packets of 10 ms.
Wideband codecs have scales of their own (G.107.1, G.107.2), so their R is not computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from rtppool_core.statistics.histogram import Histogram
from rtppool_core.units import NS_PER_MS

# G.107 table 2, default values: loudness ratings, sidetone, echo and noise in dB, dBm0p and dB(A).
SLR, RLR, STMR, D_SENDER, D_RECEIVER = 8.0, 2.0, 15.0, 3.0, 3.0
TELR, WEPL = 65.0, 110.0
CIRCUIT_NOISE, FLOOR_NOISE, ROOM_SENDER, ROOM_RECEIVER = -70.0, -64.0, 35.0, 35.0
QUANTIZING_UNITS = 1.0
ADVANTAGE = 0.0
NO_DELAY_IMPAIRMENT_MS = 100.0
MIN_MOS, MAX_MOS = 1.0, 4.5
MAX_R = 100.0
MIN_PACKETS = 100
MIN_BUFFERED_PACKETS = 2
BUFFERED_PER_MILLE = 950


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec's impairment without loss (Ie) and its robustness against random loss (Bpl)."""

    ie: float
    bpl: float


G711_CONCEALED = Codec(0.0, 25.1)
"""PCMU and PCMA with packet loss concealment (G.711 Appendix I), as nearly every endpoint has it."""
G711_UNCONCEALED = Codec(0.0, 4.3)


@dataclass(frozen=True, slots=True)
class DelayImpairment:
    """Id of G.107 7.4: talker echo, listener echo, absolute delay."""

    idte: float
    idle: float
    idd: float

    @property
    def total(self) -> float:
        """Id."""
        return self.idte + self.idle + self.idd


def r_factor(
    one_way_delay_ms: float, loss_percent: float, burst_ratio: float = 1.0, codec: Codec = G711_CONCEALED
) -> float:
    """R, from 0 to 100. `burst_ratio` is BurstR: 1 for random loss, above for loss in bursts."""
    value = (
        signal_to_noise()
        - simultaneous_impairment(one_way_delay_ms)
        - delay_impairment(one_way_delay_ms).total
        - equipment_impairment(loss_percent, burst_ratio, codec)
        + ADVANTAGE
    )
    return min(MAX_R, max(0.0, value))


def mos(r: float) -> float:
    """Return the mean opinion score of G.107 Annex B, from 1 to 4.5."""
    if r <= 0:
        return MIN_MOS
    if r >= MAX_R:
        return MAX_MOS
    # Below R = 6.5 the polynomial dips under 1.
    return max(MIN_MOS, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


@cache
def noise_sum() -> float:
    """No: all noise sources together, in dBm0p at the 0 dBr point (7.2)."""
    olr = SLR + RLR
    sender = ROOM_SENDER - SLR - D_SENDER - 100 + 0.004 * (ROOM_SENDER - olr - D_SENDER - 14) ** 2
    receiver_room = ROOM_RECEIVER + 10 * math.log10(1 + 10 ** ((10 - (STMR + D_RECEIVER)) / 10))
    receiver = RLR - 121 + receiver_room + 0.008 * (receiver_room - 35) ** 2
    floor = FLOOR_NOISE + RLR
    return 10 * math.log10(sum(math.pow(10, noise / 10) for noise in (CIRCUIT_NOISE, sender, receiver, floor)))


@cache
def signal_to_noise() -> float:
    """Ro: the basic signal-to-noise ratio (7.2)."""
    return 15 - 1.5 * (SLR + noise_sum())


def simultaneous_impairment(one_way_delay_ms: float) -> float:
    """Is: loudness, sidetone and quantizing distortion (7.3)."""
    x = SLR + RLR + 0.2 * (64 + noise_sum() - RLR)
    too_loud = 20 * (math.pow(1 + (x / 8) ** 8, 1 / 8) - x / 8)
    stmro = -10 * math.log10(10 ** (-STMR / 10) + math.exp(-one_way_delay_ms / 4) * 10 ** (-TELR / 10))
    sidetone = (
        12 * math.pow(1 + ((stmro - 13) / 6) ** 8, 1 / 8)
        - 28 * math.pow(1 + ((stmro + 1) / 19.4) ** 35, 1 / 35)
        - 13 * math.pow(1 + ((stmro - 3) / 33) ** 13, 1 / 13)
        + 29
    )
    q = 37 - 15 * math.log10(QUANTIZING_UNITS)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    y = (signal_to_noise() - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    return too_loud + sidetone + 15 * math.log10(1 + 10**y + 10**z)


def delay_impairment(one_way_delay_ms: float) -> DelayImpairment:
    """Id and its parts (7.4). The echo paths' delays are T and 2 T, as in a connection with one delay each way."""
    return DelayImpairment(
        _talker_echo(one_way_delay_ms), _listener_echo(2 * one_way_delay_ms), _absolute_delay(one_way_delay_ms)
    )


def _talker_echo(t: float) -> float:
    terv = TELR - 40 * math.log10((1 + t / 10) / (1 + t / 150)) + 6 * math.exp(-0.3 * t**2)
    half = (-1.5 * (noise_sum() - RLR) - (80 + 2.5 * (terv - 14))) / 2
    return 0.0 if t < 1 else (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-t))


def _listener_echo(round_trip_ms: float) -> float:
    half = (signal_to_noise() - 10.5 * (WEPL + 7) * math.pow(round_trip_ms + 1, -0.25)) / 2
    return half + math.sqrt(half**2 + 169)


def _absolute_delay(t: float) -> float:
    if t <= NO_DELAY_IMPAIRMENT_MS:
        return 0.0
    x = math.log2(t / NO_DELAY_IMPAIRMENT_MS)
    return 25 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)


def equipment_impairment(loss_percent: float, burst_ratio: float = 1.0, codec: Codec = G711_CONCEALED) -> float:
    """Return Ie,eff, the impairment by codec and packet loss (7.5)."""
    return codec.ie + (95 - codec.ie) * loss_percent / (loss_percent / burst_ratio + codec.bpl)


@dataclass(frozen=True, slots=True)
class Estimate:
    """R (0 to 100) and MOS (1 to 4.5), estimated."""

    r_factor: float
    mos: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPath:
    """The figures of an echo leg that the estimate needs.

    `source_variation` is the delay of arrivals from the talker above the shortest. `packets` were sent to the echo,
    `source_lost` never came from the talker, and `lost` did not come back. Of `lost`, a direction is known for
    `lost_to_echo` and `lost_from_echo`. `packet_ns` is the media of a G.711 packet; None: the codec is another one.
    """

    round_trips: Histogram
    source_variation: Histogram
    packets: int
    source_lost: int
    lost: int
    burst_ratio: float
    packet_ns: int | None
    lost_to_echo: int = 0
    lost_from_echo: int = 0

    def buffer_ns(self) -> int:
        """Return the size of a de-jitter buffer: two packets, or the 95th percentile of the larger delay variation."""
        returns_ns = self.round_trips.quantile_ns(BUFFERED_PER_MILLE) or 0
        return max(
            MIN_BUFFERED_PACKETS * (self.packet_ns or 0),
            self.source_variation.quantile_ns(BUFFERED_PER_MILLE) or 0,
            returns_ns - (self.round_trips.min_ns or 0),
        )

    def heard_loss(self) -> float:
        """Return the share of packets that the listener of the worse way misses.

        Losses of unknown direction count on both ways.
        """
        undetermined = max(0, self.lost - self.lost_to_echo - self.lost_from_echo)
        there = _share(self.source_lost + self.lost_to_echo + undetermined, self.packets + self.source_lost)
        return max(there, _share(self.lost_from_echo + undetermined, self.packets - self.lost_to_echo))


def estimate(path: MeasuredPath) -> Estimate | None:
    """Estimate G.711 with concealment over the worse way of an echo leg.

    The delay is half of the median round trip, the time to fill a packet, and the de-jitter buffer. None below
    `MIN_PACKETS`, without a round trip, and for another codec: its impairments are not those of G.711.
    """
    median_ns = path.round_trips.quantile_ns(500)
    if median_ns is None or path.packet_ns is None or path.packets < MIN_PACKETS:
        return None
    delay_ns = median_ns / 2 + path.packet_ns + path.buffer_ns()
    r = r_factor(delay_ns / NS_PER_MS, 100 * path.heard_loss(), path.burst_ratio)
    return Estimate(r, mos(r))


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole > 0 else 0.0

"""R and MOS against ITU-T G.107, written a second time from the equations of section 7 and Annex B, in linear power."""

from __future__ import annotations

from math import exp, log, log10, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.statistics.emodel import G711_CONCEALED, G711_UNCONCEALED, Codec, mos, r_factor

# The default values of the recommendation.
SLR, RLR, STMR, TELR, WEPL, QDU, NC, NFOR, PS, PR, DS, DR = 8, 2, 15, 65, 110, 1, -70, -64, 35, 35, 3, 3
OLR = SLR + RLR


def power(db: float) -> float:
    return exp(db * log(10) / 10)


def decibel(linear: float) -> float:
    return 10 * log10(linear)


def bent(x: float, order: int) -> float:
    """Return the root of 1 + x^order, which many impairments follow."""
    return float((1 + x**order) ** (1 / order))


def noise() -> float:
    nos = PS - SLR - DS - 100 + 0.004 * (PS - OLR - DS - 14) ** 2
    pre = PR + decibel(1 + power(10 - (STMR + DR)))
    nor = RLR - 121 + pre + 0.008 * (pre - 35) ** 2
    return decibel(power(NC) + power(nos) + power(nor) + power(NFOR + RLR))


def oracle_r(t_ms: float, loss_percent: float, burst_ratio: float, ie: float, bpl: float) -> float:
    no = noise()
    ro = 15 - 1.5 * (SLR + no)
    # Simultaneous impairments.
    xolr = OLR + 0.2 * (64 + no - RLR)
    iolr = 20 * (bent(xolr / 8, 8) - xolr / 8)
    stmro = -decibel(power(-STMR) + exp(-t_ms / 4) * power(-TELR))
    ist = 12 * bent((stmro - 13) / 6, 8) - 28 * bent((stmro + 1) / 19.4, 35) - 13 * bent((stmro - 3) / 33, 13) + 29
    q = 37 - 15 * log10(QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    iq = 15 * log10(1 + 10 ** ((ro - 100) / 15 + 46 / 8.4 - g / 9) + 10 ** (46 / 30 - g / 40))
    # Delay impairments, with Ta = T and Tr = 2 T.
    terv = TELR - 40 * log10((1 + t_ms / 10) / (1 + t_ms / 150)) + 6 * exp(-0.3 * t_ms * t_ms)
    roe, re = -1.5 * (no - RLR), 80 + 2.5 * (terv - 14)
    idte = ((roe - re) / 2 + sqrt((roe - re) ** 2 / 4 + 100) - 1) * (1 - exp(-t_ms)) if t_ms >= 1 else 0
    rle = 10.5 * (WEPL + 7) / sqrt(sqrt(2 * t_ms + 1))
    idle = (ro - rle) / 2 + sqrt((ro - rle) ** 2 / 4 + 169)
    x = log(t_ms / 100) / log(2) if t_ms > 100 else 0
    idd = 25 * (bent(x, 6) - 3 * bent(x / 3, 6) + 2) if t_ms > 100 else 0
    ie_eff = ie + (95 - ie) * loss_percent / (loss_percent / burst_ratio + bpl)
    return min(100.0, max(0.0, ro - (iolr + ist + iq) - (idte + idle + idd) - ie_eff))


def oracle_mos(r: float) -> float:
    return max(1.0, 1 + r * 35 / 1000 + 7 * r * (r - 60) * (100 - r) / 1_000_000)


CODECS = st.sampled_from([G711_CONCEALED, G711_UNCONCEALED, Codec(11, 19), Codec(15, 16.1)])


@given(st.floats(0, 2000), st.floats(0, 100), st.floats(1, 20), CODECS)
def test_r_and_mos_are_those_of_the_equations(
    t_ms: float, loss_percent: float, burst_ratio: float, codec: Codec
) -> None:
    r = r_factor(t_ms, loss_percent, burst_ratio, codec)
    assert r == pytest.approx(oracle_r(t_ms, loss_percent, burst_ratio, codec.ie, codec.bpl), abs=1e-6)
    assert mos(r) == pytest.approx(oracle_mos(r), abs=1e-9)

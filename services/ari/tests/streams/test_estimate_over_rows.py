"""R and MOS of rows: the codec and the time of their packets, and the way that lost them."""

from __future__ import annotations

import pytest
from row_slot import MS, Slot, after

from rtppool_core.statistics.emodel import mos, r_factor
from rtppool_relay.streams.row_reader import RowReader, RowRings
from rtppool_relay.streams.slices import Slice, export_figures
from rtppool_relay.streams.statistics import StreamStatistics
from rtppool_relay.streams.steady_clock import SteadyClock

PACKETS = 200


def figures_of(slot: Slot, clock_rate_hz: int = 8000) -> Slice:
    statistics = StreamStatistics(RowReader(RowRings(slot.memory), 0), clock_rate_hz, 3 * MS, SteadyClock())
    collected = statistics.collect(after(PACKETS))
    window = Slice()
    for part in collected.by_second.values():
        window.add(part)
    assert window.g711_packet_ns() == statistics.total.g711_packet_ns()
    return window


def filled(payload_type: int = 0, packets: int = PACKETS, ticks: int = 160) -> Slot:
    slot = Slot()
    for number in range(packets):
        slot.row(number, 300 * MS, payload_type=payload_type, timestamp=number * ticks)
    return slot


@pytest.mark.parametrize("payload_type", [0, 8])
def test_worked_example_of_300_ms_with_packets_of_20_ms(payload_type: int) -> None:
    shown = export_figures(figures_of(filled(payload_type)), judge_host=False)
    assert (shown["estimated_r_factor"], shown["estimated_mos"]) == (84.6, 4.18)
    assert shown["g711_packet_microseconds"] == 20_000


@pytest.mark.parametrize("payload_type", [3, 9, 18, 96, 111, 118, 127])
def test_a_codec_whose_impairments_are_not_known_is_not_rated(payload_type: int) -> None:
    shown = export_figures(figures_of(filled(payload_type)), judge_host=False)
    assert (shown["estimated_r_factor"], shown["estimated_mos"], shown["g711_packet_microseconds"]) == (None,) * 3


def test_g711_has_8000_hz_so_wideband_audio_is_not_rated_whatever_its_payload_type_is() -> None:
    assert figures_of(filled(ticks=320), clock_rate_hz=16_000).estimate() is None


def test_below_100_packets_nothing_is_rated() -> None:
    assert figures_of(filled(packets=99)).estimate() is None
    assert figures_of(filled(packets=100)).estimate() is not None


def test_digits_and_comfort_noise_belong_to_the_codec_beside_them() -> None:
    slot = filled()
    for number, payload_type in ((50, 101), (51, 101), (60, 13)):
        slot.row(number, 300 * MS, payload_type=payload_type)
    figures = figures_of(slot)
    assert figures.g711_packet_ns() == 20 * MS
    assert figures.estimate() is not None


def test_one_packet_of_another_codec_makes_the_estimate_absent() -> None:
    slot = filled()
    slot.row(70, 300 * MS, payload_type=96)
    assert figures_of(slot).estimate() is None


def test_packets_of_40_ms_take_longer_to_fill_and_to_buffer() -> None:
    slot = Slot()
    for number in range(PACKETS // 2):
        slot.row(2 * number, 300 * MS, sequence=number, timestamp=number * 320)
    found = figures_of(slot).estimate()
    assert found is not None
    assert found.r_factor == pytest.approx(r_factor(150 + 40 + 80, 0), abs=0.2)


def test_the_packet_time_of_a_window_is_the_mean_over_its_packets() -> None:
    window = Slice()
    window.add(Slice(g711_packets=300, g711_ns=300 * 20 * MS))
    window.add(Slice(g711_packets=100, g711_ns=100 * 40 * MS))
    assert window.g711_packet_ns() == 25 * MS
    window.add(Slice(other_codec_packets=1))
    assert window.g711_packet_ns() is None


def test_loss_of_each_way_is_heard_once_where_the_echo_reveals_it() -> None:
    known, unknown = Slot(), Slot()
    received = 0
    for number in range(PACKETS):
        to_echo, from_echo = number % 50 == 10, number % 50 == 30
        received += not to_echo
        for slot, count in ((known, received), (unknown, 0)):
            slot.row(number, None if to_echo or from_echo else 5 * MS, echo_count=count, echo_residence_ns=MS)
    delay_ms, burst_ratio = 2.5 + 20 + 40, 1.0
    heard = figures_of(known)
    assert (heard.lost_to_echo, heard.lost_from_echo) == (4, 4)
    found, both = heard.estimate(), figures_of(unknown).estimate()
    assert found is not None
    assert both is not None
    assert found.r_factor == pytest.approx(r_factor(delay_ms, 100 * 4 / 196, burst_ratio), abs=0.05)
    assert both.r_factor == pytest.approx(r_factor(delay_ms, 4, burst_ratio), abs=0.05)
    assert found.mos == mos(found.r_factor) > both.mos

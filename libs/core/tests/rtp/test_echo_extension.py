from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.rtp import echo_extension as extension
from rtppool_core.rtp.header import FIXED_HEADER_BYTES, RtpHeader, build, defect, parse


def with_extension(packet: bytes) -> bytes:
    head, tail = packet[:FIXED_HEADER_BYTES], packet[FIXED_HEADER_BYTES:]
    return bytes([extension.FIRST_BYTE]) + head[1:] + extension.UNFILLED + tail


def test_a_packet_with_the_extension_is_rtp_with_the_same_payload() -> None:
    packet = with_extension(build(RtpHeader(0, 1, 160, 7), b"p" * 160))
    assert defect(packet, len(packet)) is None
    header = parse(packet)
    assert header.extension
    assert packet[header.payload_offset :] == b"p" * 160


def test_offsets_and_marks_are_those_of_the_drawing() -> None:
    packet = with_extension(build(RtpHeader(0, 1, 160, 7), b""))
    assert len(packet) == extension.MIN_PACKET_BYTES
    assert packet[extension.MARK_OFFSET : extension.MARK_END] == extension.UNFILLED_MARK
    assert packet[extension.MARK_OFFSET : extension.MARK_END] != extension.FILLED_MARK
    filled = bytearray(packet)
    filled[extension.FILLED_OFFSET] = 1
    extension.MEASURED.pack_into(filled, extension.MEASURED_OFFSET, 3, 5, 9)
    assert filled[extension.MARK_OFFSET : extension.MARK_END] == extension.FILLED_MARK
    assert extension.MEASURED_OFFSET + extension.MEASURED.size == len(filled)
    assert extension.MEASURED.unpack_from(filled, extension.MEASURED_OFFSET) == (3, 5, 9)
    extension.FILLED.pack_into(filled, extension.FILLED_OFFSET, 1, 7, 3, 5, 9)
    assert filled[extension.HOST_OFFSET : extension.MEASURED_OFFSET] == b"\0\x07"
    assert extension.MEASURED.unpack_from(filled, extension.MEASURED_OFFSET) == (3, 5, 9)


@pytest.mark.parametrize(
    ("host_ns", "field"),
    [(None, 0), (0, 1), (15_999, 1), (16_000, 2), (32_000, 2), (65_534 * 32_000, 0xFFFF), (10**12, 0xFFFF)],
)
def test_a_host_time_is_one_more_than_its_units_and_saturates(host_ns: int | None, field: int) -> None:
    assert extension.host_field(host_ns) == field


@given(st.integers(0, 65_534 * extension.HOST_UNIT_NS))
def test_a_host_time_is_read_to_half_a_unit(host_ns: int) -> None:
    read_ns = (extension.host_field(host_ns) - 1) * extension.HOST_UNIT_NS
    assert abs(read_ns - host_ns) <= extension.HOST_UNIT_NS // 2

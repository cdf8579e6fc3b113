from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtppool_core.rtp import header as rtp
from rtppool_core.rtp.header import RtpError, RtpHeader

PLAIN = bytes.fromhex("80 00 04d2 00000640 deadbeef") + b"\xff" * 160
MARKED_EVENT = bytes.fromhex("80 e5 ffff fffffff0 00000001 0b0a0320")
# Two CSRCs, an extension of two words (profile 0xBEDE), five bytes of payload, three of padding.
EVERYTHING = bytes.fromhex("b2 88 0001 00000002 000000030000000a 0000000bbede 0002 51aa0000 62bb00001122334455000003")
EMPTY = bytes.fromhex("80 0d 0001 00000002 00000003")
UNPADDED_EVERYTHING_HEADER_BYTES = 12 + 8 + 4 + 8


@pytest.mark.parametrize(
    ("packet", "header"),
    [
        (PLAIN, RtpHeader(0, 1234, 1600, 0xDEADBEEF, payload_bytes=160)),
        (MARKED_EVENT, RtpHeader(101, 65535, 0xFFFFFFF0, 1, marker=True, payload_bytes=4)),
        (EVERYTHING, RtpHeader(8, 1, 2, 3, marker=True, extension=True, payload_offset=32, payload_bytes=5)),
        (EMPTY, RtpHeader(13, 1, 2, 3)),
    ],
    ids=["plain", "event", "everything", "empty"],
)
def test_a_golden_packet_is_read_in_full(packet: bytes, header: RtpHeader) -> None:
    for form in (packet, bytearray(packet), memoryview(packet)):
        assert rtp.defect(form, len(packet)) is None
        assert rtp.parse(form) == header


@pytest.mark.parametrize("packet", [PLAIN, MARKED_EVENT, EMPTY], ids=["plain", "event", "empty"])
def test_a_packet_without_variable_parts_is_built_again_byte_by_byte(packet: bytes) -> None:
    header = rtp.parse(packet)
    assert rtp.build(header, packet[header.payload_offset :]) == packet


@pytest.mark.parametrize("packet", [PLAIN, MARKED_EVENT, EVERYTHING], ids=["plain", "event", "everything"])
def test_a_packet_cut_inside_the_fixed_header_is_short(packet: bytes) -> None:
    for size in range(12):
        with pytest.raises(RtpError, match=f"not an RTP packet .short.: {size} bytes") as caught:
            rtp.parse(packet[:size])
        assert caught.value.reason == rtp.REASON_SHORT


def test_a_packet_cut_at_any_length_is_refused_until_its_variable_parts_are_whole() -> None:
    unpadded = bytes([EVERYTHING[0] & ~rtp.PADDING_BIT]) + EVERYTHING[1:-3]
    for size in range(len(unpadded) + 1):
        reason = rtp.defect(unpadded[:size], size)
        if size < 12:
            assert reason == "short"
        elif size < UNPADDED_EVERYTHING_HEADER_BYTES:
            assert reason == "truncated", size
        else:
            assert reason is None, size
            assert rtp.parse(unpadded[:size]).payload_bytes == size - UNPADDED_EVERYTHING_HEADER_BYTES


def test_padding_is_inside_the_packet_and_at_least_its_own_length_byte() -> None:
    padded = bytes([0xA0]) + PLAIN[1:12]
    for padding, reason in ((0, "truncated"), (1, None), (4, None), (5, "truncated"), (255, "truncated")):
        packet = padded + bytes(3) + bytes([padding])
        assert rtp.defect(packet, len(packet)) == reason
    assert rtp.parse(padded + bytes(3) + b"\x04").payload_bytes == 0


@pytest.mark.parametrize("first", [0x00, 0x40, 0xC0, 0x7F])
def test_another_version_is_refused(first: int) -> None:
    assert rtp.defect(bytes([first]) + PLAIN[1:], len(PLAIN)) == "version"


def test_rtcp_on_the_same_port_is_told_from_rtp_by_its_packet_type() -> None:
    reasons = [rtp.defect(bytes([0x80, second]) + PLAIN[2:], len(PLAIN)) for second in range(256)]
    assert [second for second, reason in enumerate(reasons) if reason == "rtcp"] == list(range(192, 224))
    assert {reason for second, reason in enumerate(reasons) if not 192 <= second <= 223} == {None}


def test_the_size_counts_and_not_what_the_buffer_held_before() -> None:
    buffer = bytearray(EVERYTHING + bytes(1000))
    assert rtp.defect(buffer, len(EVERYTHING)) is None
    assert rtp.defect(buffer, 20) == "truncated"


@given(st.binary(max_size=120))
@example(bytes([0xBF, 0]) + bytes(10))
@example(bytes([0x90, 0]) + bytes(10) + b"\xbe\xde\xff\xff")
def test_any_bytes_are_read_or_refused_with_a_known_reason(data: bytes) -> None:
    reason = rtp.defect(data, len(data))
    if reason is not None:
        assert reason in rtp.REASONS
        with pytest.raises(RtpError) as caught:
            rtp.parse(data)
        assert caught.value.reason == reason
    else:
        header = rtp.parse(data)
        assert 0 <= header.payload_offset <= header.payload_offset + header.payload_bytes <= len(data)


def read_by_bits(data: bytes) -> RtpHeader | None:
    """Read the figure of RFC 3550 section 5.1 bit by bit, and 5.3.1 for the extension; None: it is no whole packet."""
    if len(data) < 12:
        return None
    bits = iter("".join(f"{byte:08b}" for byte in data))

    def take(number: int) -> int:
        return int("".join(next(bits) for _ in range(number)), 2)

    version, padded, extended, sources, marker, payload_type = take(2), take(1), take(1), take(4), take(1), take(7)
    sequence, timestamp, ssrc = take(16), take(32), take(32)
    # RFC 5761 section 4: these payload types are packet types of RTCP.
    if version != 2 or (marker and 64 <= payload_type < 96):
        return None
    rest = data[12 + 4 * sources :]
    if len(data) < 12 + 4 * sources or (extended and len(rest) < 4):
        return None
    extension = 4 + 4 * (rest[2] << 8 | rest[3]) if extended else 0
    padding = data[-1] if padded else 0
    payload = len(rest) - extension - padding
    if payload < 0 or (padded and padding == 0):
        return None
    offset = 12 + 4 * sources + extension
    return RtpHeader(payload_type, sequence, timestamp, ssrc, bool(marker), bool(extended), offset, payload)


FIRST_BYTES = st.integers(0x80, 0xBF) | st.integers(0, 255)


@given(st.tuples(FIRST_BYTES, st.integers(0, 255)), st.binary(max_size=90), st.integers(0, 20))
def test_a_header_is_read_as_its_figure_in_the_rfc(starts: tuple[int, int], rest: bytes, small: int) -> None:
    # A small last byte is a padding that often fits, and zeros are extensions that do.
    for data in (bytes(starts) + rest, bytes(starts) + rest + bytes([small]), bytes(starts) + bytes(len(rest) + small)):
        expected = read_by_bits(data)
        assert (rtp.defect(data, len(data)) is None) is (expected is not None)
        if expected is not None:
            assert rtp.parse(data) == expected


@given(
    st.builds(
        RtpHeader,
        payload_type=st.integers(0, 63) | st.integers(96, 127),
        sequence=st.integers(0, 0xFFFF),
        timestamp=st.integers(0, 0xFFFF_FFFF),
        ssrc=st.integers(0, 0xFFFF_FFFF),
        marker=st.booleans(),
        extension=st.just(False),
        payload_offset=st.just(12),
        payload_bytes=st.just(20),
    )
)
def test_what_was_built_is_read_back(header: RtpHeader) -> None:
    assert rtp.parse(rtp.build(header, bytes(20))) == header


def test_numbers_are_built_modulo_their_width() -> None:
    built = rtp.parse(rtp.build(RtpHeader(0, 65_537, (1 << 32) + 5, (1 << 32) + 6), b""))
    assert (built.sequence, built.timestamp, built.ssrc) == (1, 5, 6)

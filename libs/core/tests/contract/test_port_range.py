from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.contract.port_range import ACCEPTED, PortRange, PortRangeError


def test_both_ends_belong_to_the_range() -> None:
    ports = PortRange.parse("10000-10100")
    assert (len(ports), min(ports), max(ports), str(ports)) == (101, 10000, 10100, "10000-10100")
    assert 10000 in ports
    assert 10100 in ports
    assert 9999 not in ports
    assert 10101 not in ports


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "10000", "10000-", "-10100", "10100-10000", "1023-1100", "65000-65536", "1024-65535"),
        *("10000-10100-1", "1e4-2e4", "10000:10100", "0x10-0x20"),
        # Digits, but not those of a port.
        "\u0661\u0660\u0660\u0660\u0660-\u0661\u0660\u0661\u0660\u0660",
    ],
)
def test_what_is_no_range_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(PortRangeError) as caught:
        PortRange.parse(text)
    assert ACCEPTED in str(caught.value)


def test_the_largest_range_has_4096_ports() -> None:
    assert len(PortRange(10_000, 14_095)) == 4096
    with pytest.raises(PortRangeError):
        PortRange(10_000, 14_096)


@given(st.text(max_size=20))
def test_any_text_is_a_range_or_an_error_of_its_own_kind(text: str) -> None:
    try:
        ports = PortRange.parse(text)
    except PortRangeError:
        return
    assert PortRange.parse(str(ports)) == ports

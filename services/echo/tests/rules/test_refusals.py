from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_echo.rules.refusals import REASONS, SourceRules

RULES = SourceRules(own_port=4000)


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("192.0.2.1", 10_000, None),
        ("192.0.2.1", 1024, None),
        ("192.0.2.1", 4000, "own_port"),
        ("192.0.2.1", 1023, "privileged_port"),
        ("192.0.2.1", 53, "privileged_port"),
        ("192.0.2.1", 0, "privileged_port"),
        ("224.0.0.1", 10_000, "source_address"),
        ("255.255.255.255", 10_000, "source_address"),
        ("0.0.0.0", 10_000, "source_address"),
        ("::", 10_000, "source_address"),
        ("ff02::1", 10_000, "source_address"),
        ("::ffff:224.0.0.1", 10_000, "source_address"),
        ("fe80::1", 10_000, None),
        ("192.0.2.1", 5060, "reflector_port"),
        ("2001:db8::1", 1900, "reflector_port"),
        ("127.0.0.1", 10_000, None),
    ],
)
def test_a_sender_is_answered_or_refused_with_a_reason(host: str, port: int, reason: str | None) -> None:
    assert RULES.refusal(ipaddress.ip_address(host).packed, port) == reason


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.1.2.3", False),
        ("fe80::1", True),
        ("2001:db8::1", False),
    ],
)
def test_the_allowed_networks_hold_for_both_families(host: str, allowed: bool) -> None:
    rules = SourceRules(4000, (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/10")))
    assert (rules.refusal(ipaddress.ip_address(host).packed, 10_000) is None) == allowed


@given(
    st.ip_addresses().map(str),
    st.integers(0, 65_535),
    st.lists(st.ip_addresses(v=4).map(ipaddress.ip_network), max_size=3),
)
def test_every_refusal_is_a_known_reason(
    host: str, port: int, allow: list[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> None:
    refusal = SourceRules(4000, tuple(allow)).refusal(ipaddress.ip_address(host).packed, port)
    assert refusal in {None, *REASONS}
    if refusal is None:
        plain = ipaddress.ip_address(host)
        assert not allow or any(plain == network.network_address for network in allow)

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from senders import name_words

from rtppool_core.contract.port_range import REFLECTOR_PORTS
from rtppool_echo.reflector.compiled import compiled
from rtppool_echo.rules import source_rules
from rtppool_echo.rules.refusals import NOT_REFUSED, REASONS
from rtppool_echo.rules.source_rules import Network, networks_in_words

_refusal: Any = compiled(source_rules.refusal_of_source)
OWN_PORT = 4000


def refusal_of(host: str, port: int, allow: tuple[Network, ...] = ()) -> str | None:
    networks = np.array(networks_in_words(allow))
    refusal = _refusal(name_words(host, port), 0, OWN_PORT, networks)
    return None if refusal == NOT_REFUSED else REASONS[refusal]


def model_refusal(host: str, port: int, allow: tuple[Network, ...]) -> str | None:
    """The rules in the words of the standard library."""
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    if port == OWN_PORT:
        return "own_port"
    if port < 1024:
        return "privileged_port"
    if port in REFLECTOR_PORTS:
        return "reflector_port"
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        return "source_address"
    return None if not allow or any(address in network for network in allow) else "not_allowed"


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
    assert refusal_of(host, port) == reason


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
    allow = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/10"))
    assert (refusal_of(host, 10_000, allow) is None) == allowed


networks = st.builds(
    lambda address, length: ipaddress.ip_network((address, length % (address.max_prefixlen + 1)), strict=False),
    st.ip_addresses(),
    st.integers(0, 128),
)


@given(
    st.ip_addresses().map(str) | st.sampled_from(["192.0.2.1", "::ffff:192.0.2.1", "fe80::1", "255.255.255.255"]),
    st.integers(0, 65_535),
    st.lists(networks, max_size=3).map(tuple),
)
@example("::ffff:255.255.255.255", 10_000, ())
@example("239.255.255.255", 10_000, ())
@example("240.0.0.1", 10_000, (ipaddress.ip_network("0.0.0.0/0"),))
def test_compiled_code_refuses_as_the_model_does(host: str, port: int, allow: tuple[Network, ...]) -> None:
    assert refusal_of(host, port, allow) == model_refusal(host, port, allow)

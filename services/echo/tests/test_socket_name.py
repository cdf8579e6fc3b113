from __future__ import annotations

import ipaddress
import socket
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from senders import name_words

from rtppool_echo import socket_name
from rtppool_echo.reflector.compiled import compiled

port_of, is_ipv4, ipv4_of = map(compiled, (socket_name.port_of, socket_name.is_ipv4, socket_name.ipv4_of))


@given(st.ip_addresses().map(str), st.integers(0, 65_535), st.integers(0, 2**32 - 1))
def test_a_senders_name_is_read_as_the_kernel_wrote_it(host: str, port: int, scope: int) -> None:
    key = name_words(host, port, scope)
    address = ipaddress.ip_address(host)
    plain = getattr(address, "ipv4_mapped", None) or address
    assert port_of(key, 0) == port
    assert socket_name.address_bytes(memoryview(key)) == plain.packed
    assert is_ipv4(key, 0) == (plain.version == 4)
    if plain.version == 4:
        assert struct.pack("<I", ipv4_of(key, 0)) == plain.packed


def test_a_mapped_address_is_that_of_ipv4() -> None:
    key = name_words("::ffff:192.0.2.1", 10_000)
    assert is_ipv4(key, 0)
    assert socket_name.address_bytes(memoryview(key)) == socket.inet_aton("192.0.2.1")
    assert ipv4_of(key, 0) == ipv4_of(name_words("192.0.2.1", 10_000), 0)
    assert isinstance(key, np.ndarray)

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from rtppool_echo.messages.socket_name import name_of, sender_of, source_of


@given(st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str), st.integers(0, 65_535), st.integers(0, 2**32 - 1))
def test_a_senders_name_is_read_as_it_was_written(host: str, port: int, scope: int) -> None:
    sender = (host, port, 0, scope) if ":" in host else (host, port)
    name = name_of(sender)
    packed_address = ipaddress.ip_address(host).packed
    assert source_of(name) == (packed_address, port)
    assert ipaddress.ip_address(sender_of(name)[0]).packed == packed_address
    assert sender_of(name)[1:] == sender[1:]

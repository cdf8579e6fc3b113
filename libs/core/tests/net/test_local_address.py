from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from rtppool_core.net.local_address import is_local_address
from rtppool_testing.descriptors import no_free_descriptor


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0"])
def test_loopback_stays_on_this_machine(address: str) -> None:
    assert is_local_address(address)


# RFC 5737 and RFC 3849: no machine has these.
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "fe80::2001:db8%lo", "255.255.255.255"])
def test_addresses_of_other_machines_do_not(address: str) -> None:
    assert not is_local_address(address)


def test_every_address_of_an_interface_stays_on_this_machine() -> None:
    # The kernel's routing tables as text: a line with the address, and one with its type after it.
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    own = {above.split()[-1] for above, line in pairwise(lines) if line.strip() == "/32 host LOCAL"}
    assert "127.0.0.1" in own
    assert {address for address in own if not is_local_address(address)} == set()


def test_without_a_descriptor_an_address_is_of_another_machine() -> None:
    with no_free_descriptor():
        assert not is_local_address("127.0.0.1")

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from rtppool_relay.ports.own_address import OwnAddress, PortAddresses, bound_address


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_towards_an_address_ours_is_known_at_once(host: str) -> None:
    own = OwnAddress(host)
    assert (own.address, own.reason) == (host, None)


async def test_a_name_is_looked_up_off_the_loop() -> None:
    own = OwnAddress("localhost")
    assert own.address is None
    assert own.reason is not None
    await own.refresh()
    assert own.address in {"127.0.0.1", "::1"}
    assert own.reason is None


async def test_a_name_that_is_not_known_is_said_and_what_was_found_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    own = OwnAddress("localhost")
    await own.refresh()
    found = own.address
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nothing)
    await own.refresh()
    assert own.address == found
    assert "route to localhost (the host of ARI_URL) is not known: Name or service not known" in (own.reason or "")
    assert "ADVERTISE_IP" in (own.reason or "")


@pytest.mark.parametrize(
    ("bind_ip", "advertised", "bound"),
    [
        ("::", "192.0.2.1", "0.0.0.0"),
        ("0.0.0.0", "2001:db8::1", "::"),
        ("0.0.0.0", "192.0.2.1", "0.0.0.0"),
        ("::", "2001:db8::1", "::"),
        ("::", None, "::"),
        ("::", "node-1.example", "::"),
        ("192.0.2.7", "2001:db8::1", "192.0.2.7"),
    ],
)
def test_an_unspecified_bind_address_takes_the_family_that_asterisk_is_told(
    bind_ip: str, advertised: str | None, bound: str
) -> None:
    assert bound_address(bind_ip, advertised) == bound


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "\ud800", "a\0b", ""])
async def test_a_host_that_cannot_be_encoded_is_a_reason(host: str) -> None:
    own = OwnAddress(host)
    await own.refresh()
    if own.address is None:
        assert "is not known" in (own.reason or "")


def test_the_address_of_a_connection_to_asterisk_replaces_a_guess() -> None:
    own = OwnAddress("::1")
    assert not own.is_observed
    own.observe("127.0.0.1")
    assert (own.address, own.reason, own.is_observed) == ("127.0.0.1", None, True)


@pytest.mark.parametrize(("observed", "used"), [("::ffff:192.0.2.7", "192.0.2.7"), ("fe80::1%eth0", "::1")])
def test_a_mapped_address_is_ipv4_and_a_link_local_one_is_not_used(observed: str, used: str) -> None:
    own = OwnAddress("::1")
    own.observe(observed)
    assert own.address == used


async def test_of_an_asterisk_with_both_families_the_one_of_the_echo_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", 9, 0, 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 9)),
        ]

    own = OwnAddress("localhost")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    await own.refresh()
    assert own.address == "::1"
    own.prefer({socket.AF_INET})
    assert own.address == "127.0.0.1"
    own.observe("::1")
    assert own.address == "127.0.0.1"
    own.prefer({socket.AF_INET, socket.AF_INET6})
    assert own.address == "::1"


def test_bound_and_advertised_addresses_of_two_families_are_a_conflict() -> None:
    assert PortAddresses("127.0.0.1", lambda: "::1", OwnAddress("::1")).conflict() is not None
    assert PortAddresses("0.0.0.0", lambda: "::1", OwnAddress("::1")).conflict() is None
    assert PortAddresses("127.0.0.1", lambda: "127.0.0.1", OwnAddress("::1")).conflict() is None

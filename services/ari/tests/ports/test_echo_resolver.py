"""The resolver over answers of a name server, which the test gives in the loop's place."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from rtppool_core.contract.pools_file import EchoTarget
from rtppool_core.net.udp import family_of
from rtppool_relay.ports.echo_resolver import EchoResolver


class Names:
    """The addresses of names. Other names can't be resolved."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}

    async def getaddrinfo(self, host: str, port: int, *, type: int) -> list[Any]:  # noqa: A002 its name
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family_of(address), type, 17, "", (address, port)) for address in self.addresses[host]]


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    known = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", known.getaddrinfo)
    return known


def resolver(host: str, port: int = 4000) -> EchoResolver:
    return EchoResolver(EchoTarget(host, port), socket.AF_INET)


async def test_of_several_addresses_the_one_in_use_stays_while_it_is_listed(names: Names) -> None:
    echo = resolver("echo")
    seen = []
    for addresses in (
        ["192.0.2.1", "192.0.2.2"],
        ["192.0.2.2", "192.0.2.1"],
        ["192.0.2.2"],
        ["192.0.2.1", "192.0.2.2"],
    ):
        names.addresses["echo"] = addresses
        await echo.resolve()
        seen.append(echo.address)
    assert [address[0] for address in seen if address] == ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"]


async def test_a_target_that_does_not_resolve_is_said_and_the_echo_in_force_is_kept(
    names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    names.addresses["echo"] = ["192.0.2.1"]
    echo = resolver("echo")
    await echo.resolve()
    echo.retarget(EchoTarget("typo", 4001), socket.AF_INET)
    for _ in range(3):
        await echo.resolve()
    assert echo.address == ("192.0.2.1", 4000)
    assert echo.reason is not None
    assert "echo.host 'typo' can't be resolved" in echo.reason
    assert "Packets go to 192.0.2.1:4000 (echo:4000) as before" in echo.reason
    assert caplog.messages == [echo.reason]


@pytest.mark.usefixtures("names")
async def test_a_first_target_that_does_not_resolve_leaves_no_address_and_a_sentence() -> None:
    echo = resolver("typo")
    await echo.resolve()
    assert echo.address is None
    assert echo.reason == "echo.host 'typo' can't be resolved (Name or service not known); is the name right?"


async def test_an_address_of_another_family_is_dropped(names: Names) -> None:
    names.addresses["echo"] = ["192.0.2.1"]
    echo = resolver("echo")
    await echo.resolve()
    echo.retarget(echo.target, socket.AF_INET6)
    assert echo.address is None


async def test_an_answer_for_a_target_that_is_wanted_no_more_is_not_used(names: Names) -> None:
    names.addresses["slow"] = ["192.0.2.9"]
    echo = resolver("slow")
    looking = asyncio.create_task(echo.resolve())
    echo.retarget(EchoTarget("fast"), socket.AF_INET)
    await looking
    assert echo.target.host == "fast"


async def test_whoever_could_not_move_all_calls_is_asked_again_soon(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtppool_relay.ports.echo_resolver.RETRY_SECONDS", 0.01)
    names.addresses["echo"] = ["192.0.2.1"]
    answers = [False, False, True]
    asked = asyncio.Event()

    async def changed() -> bool:
        answer = answers.pop(0)
        if not answers:
            asked.set()
        return answer

    task = asyncio.create_task(resolver("echo").run(changed))
    async with asyncio.timeout(30):
        await asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("host", ["a..b", "x" * 64, "\ud800", "a\0b"])
async def test_a_host_that_cannot_be_encoded_is_a_reason(host: str) -> None:
    echo = resolver("127.0.0.1")
    await echo.resolve()
    echo.retarget(EchoTarget(host), socket.AF_INET)
    await echo.resolve()
    assert echo.address == ("127.0.0.1", 4000)
    assert "can't be resolved" in (echo.reason or "")


def moved_on(echo: EchoResolver) -> bool:
    """Move on when packets go to the address in use."""
    echo._moving = False
    return echo.move_on()


async def test_an_address_is_not_left_before_packets_go_to_it(names: Names) -> None:
    names.addresses["echo"] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    echo = resolver("echo")
    await echo.resolve()
    assert echo.move_on()
    assert not echo.move_on()
    assert echo.address == ("192.0.2.2", 4000)


async def test_the_next_address_of_a_name_is_used_when_one_does_not_answer(
    names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    names.addresses["echo"] = ["192.0.2.1", "::1", "192.0.2.2", "192.0.2.3"]
    echo = resolver("echo")
    await echo.resolve()
    seen = [echo.address]
    while moved_on(echo):
        seen.append(echo.address)
        await echo.resolve()
    assert [address[0] for address in seen if address] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert "the echo at 192.0.2.1:4000 does not answer" in caplog.text


async def test_after_all_addresses_were_silent_the_first_ones_are_used_again(names: Names) -> None:
    names.addresses["echo"] = ["192.0.2.1", "192.0.2.2"]
    echo = resolver("echo")
    await echo.resolve()
    assert moved_on(echo)
    assert not moved_on(echo)
    echo.confirm()
    assert moved_on(echo)
    assert echo.address == ("192.0.2.1", 4000)


async def test_a_single_address_is_never_left(names: Names) -> None:
    names.addresses["echo"] = ["192.0.2.1"]
    echo = resolver("echo")
    assert not echo.move_on()
    await echo.resolve()
    assert not echo.move_on()
    assert echo.address == ("192.0.2.1", 4000)


async def test_an_echo_of_the_other_family_is_a_conflict_that_names_both_and_the_remedy(names: Names) -> None:
    names.addresses["echo"] = ["192.0.2.1"]
    echo = EchoResolver(EchoTarget("echo"), socket.AF_INET6)
    echo.retarget(echo.target, socket.AF_INET6, "its address towards Asterisk is ::1")
    assert echo.conflict is None
    await echo.resolve()
    assert echo.address is None
    assert echo.reason == echo.conflict
    for part in ("the echo is IPv4", "this relay speaks IPv6", "towards Asterisk is ::1", "ECHO_HOST", "ADVERTISE_IP"):
        assert part in (echo.conflict or "")
    echo.retarget(echo.target, socket.AF_INET)
    assert (echo.address, echo.conflict) == (("192.0.2.1", 4000), None)


async def test_a_family_whose_addresses_are_all_silent_is_left_out_while_the_other_one_is_not(names: Names) -> None:
    names.addresses["echo"] = ["::1", "192.0.2.1"]
    echo = EchoResolver(EchoTarget("echo"), socket.AF_INET6)
    await echo.resolve()
    assert echo.families == {socket.AF_INET, socket.AF_INET6}
    moved_on(echo)
    assert echo.families == {socket.AF_INET}
    echo.retarget(echo.target, socket.AF_INET)
    moved_on(echo)
    assert echo.families == {socket.AF_INET, socket.AF_INET6}


async def test_addresses_that_are_all_silent_are_used_in_turn_and_their_name_is_resolved_again(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtppool_relay.ports.echo_resolver.ALL_SILENT_SECONDS", 0.02)
    names.addresses["echo"] = ["192.0.2.1", "192.0.2.2"]
    echo = resolver("echo")
    used: list[str] = []

    async def changed() -> bool:
        if echo.address is not None:
            used.append(echo.address[0])
        return True

    task = asyncio.create_task(echo.run(changed))
    async with asyncio.timeout(30):
        while len(used) < 5:
            echo.move_on()
            await asyncio.sleep(0.001)
        names.addresses["echo"] = ["192.0.2.3"]
        while used[-1] != "192.0.2.3":
            echo.move_on()
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert used[:5] == ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2", "192.0.2.1"]


@pytest.mark.parametrize(
    ("host", "family", "used"),
    [
        ("127.0.0.1", socket.AF_INET6, "::1"),
        ("::1", socket.AF_INET, "127.0.0.1"),
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("::1", socket.AF_INET6, "::1"),
    ],
)
async def test_a_loopback_echo_is_in_the_relays_own_family(
    names: Names, host: str, family: socket.AddressFamily, used: str
) -> None:
    names.addresses[host] = [host]
    echo = resolver(host)
    echo.retarget(EchoTarget(host, 4000), family)
    await echo.resolve()
    assert (echo.address, echo.reason) == ((used, 4000), None)


async def test_another_loopback_address_is_no_echo_of_the_other_family(names: Names) -> None:
    names.addresses["127.0.0.2"] = ["127.0.0.2"]
    echo = resolver("127.0.0.2")
    echo.retarget(EchoTarget("127.0.0.2", 4000), socket.AF_INET6)
    await echo.resolve()
    assert echo.address is None
    assert "the echo is IPv4" in (echo.reason or "")


async def test_a_loopback_echo_that_listens_elsewhere_on_the_node_is_used_there(names: Names) -> None:
    names.addresses |= {"127.0.0.1": ["127.0.0.1"], "192.0.2.9": ["192.0.2.9"]}
    echo = EchoResolver(EchoTarget("127.0.0.1", 4000), socket.AF_INET, "10.0.0.5")
    await echo.resolve()
    assert echo.address == ("10.0.0.5", 4000)
    echo.retarget(EchoTarget("192.0.2.9", 4000), socket.AF_INET)
    await echo.resolve()
    assert echo.address == ("192.0.2.9", 4000)

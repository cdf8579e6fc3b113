"""Addresses and address families of Asterisk, relay and echo, which are chosen together."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from in_process import in_process

from rtppool_callgen.stand_in.rtp_player import MediaLeg, RtpPlayer
from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_relay.app import Relay
from rtppool_relay.calls import sound
from rtppool_relay.settings import read_settings
from rtppool_testing.echo import echo
from rtppool_testing.ports import free_port, free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)
APPLICATION = "rtp-pool"
BOTH_FAMILIES = "localhost.test"


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Return the addresses of names, which a test may change."""
    known = {BOTH_FAMILIES: ["::1", "127.0.0.1"]}
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        addresses = known.get(host, [host])
        return [entry for address in addresses for entry in await resolve(address, port, **options)]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    return known


class RunningRelay:
    """A relay and its HTTP."""

    def __init__(self, relay: Relay, port: int) -> None:
        self.relay = relay
        self._url = f"http://127.0.0.1:{port}"

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self._url + path) as response:
            return json.loads(await response.text())

    def is_connected(self) -> bool:
        return self.relay._telephony.ari_report().state == "Connected"

    def answers(self) -> bool:
        return self.relay._measurement.echo.reachable is True


@asynccontextmanager
async def running(asterisk: StandIn, echo_port: int, **others: str) -> AsyncIterator[RunningRelay]:
    port = free_port()
    variables = {
        "ARI_URL": asterisk.url,
        "ARI_USER": "relay",
        "ARI_PASS": "secret",
        "NODE_NAME": "node-1",
        "HTTP_BIND": "127.0.0.1",
        "HTTP_PORT": str(port),
        "ECHO_PORT": str(echo_port),
        "PORT_RANGE": str(free_range(4)),
        "POOL_CONFIG": "/nowhere/pools.json",
        "METRICS_INTERVAL_SEC": "0.2",
        "ADMISSION": "off",
    }
    relay = Relay(read_settings(variables | others))
    async with in_process(relay):
        yield RunningRelay(relay, port)


def by_name(url: str) -> str:
    return url.replace("127.0.0.1", BOTH_FAMILIES).replace("[::1]", BOTH_FAMILIES)


async def returned(asterisk: StandIn, caller: str, packets: int = 10) -> None:
    await until(lambda: asterisk.packets(caller)[1] >= packets, f"{packets} packets back at {caller}")


@pytest.mark.usefixtures("names")
async def test_the_own_address_is_that_of_the_connection_to_asterisk() -> None:
    async with (
        StandIn("127.0.0.1", 0, "relay", "secret") as asterisk,
        echo() as echo_port,
        running(asterisk, echo_port, ARI_URL=by_name(asterisk.url)) as relay,
    ):
        await until(relay.is_connected, "connected")
        own = relay.relay._call_ports.own_address
        assert (own.address, own.is_observed) == ("127.0.0.1", True)
        await returned(asterisk, asterisk.place_call(APPLICATION))
        status = await relay.get("/status")
        assert status["calls"]["refused"] == {}
        assert "AddressFamilies" not in {finding["code"] for finding in status["preflight"]}


@pytest.mark.usefixtures("names")
async def test_the_own_address_is_ipv6_where_only_that_reaches_asterisk_and_the_echo_has_both() -> None:
    async with StandIn("::1", 0, "relay", "secret") as asterisk, echo("::1") as echo_port:
        settings = {"ARI_URL": by_name(asterisk.url), "ECHO_HOST": BOTH_FAMILIES}
        async with running(asterisk, echo_port, **settings) as relay:
            await until(relay.is_connected, "connected")
            await returned(asterisk, asterisk.place_call(APPLICATION))
            assert (await relay.get("/status"))["echo"]["resolvedAddress"] == f"[::1]:{echo_port}"


@pytest.mark.parametrize(
    ("asterisk_host", "others", "named"),
    [
        ("::1", {"ECHO_HOST": "127.0.0.2"}, "its address towards Asterisk is ::1"),
        ("127.0.0.1", {"ADVERTISE_IP": "::1", "ECHO_HOST": "127.0.0.2"}, "ADVERTISE_IP"),
        ("127.0.0.1", {"ECHO_HOST": "fd00::1"}, "its address towards Asterisk is 127.0.0.1"),
        ("127.0.0.1", {"ADVERTISE_IP": "::1", "BIND_IP": "127.0.0.1"}, "BIND_IP=127.0.0.1 is IPv4"),
    ],
)
async def test_families_that_exclude_each_other_are_a_finding_before_the_first_caller(
    asterisk_host: str, others: dict[str, str], named: str
) -> None:
    async with (
        StandIn(asterisk_host, 0, "relay", "secret") as asterisk,
        echo() as echo_port,
        running(asterisk, echo_port, **others) as relay,
    ):
        await until(relay.is_connected, "connected")
        await until(lambda: relay.relay._call_ports.family_conflict() is not None, "a conflict")
        status, ready = await relay.get("/status"), await relay.get("/ready")
        (finding,) = [each for each in status["preflight"] if each["code"] == "AddressFamilies"]
        assert named in finding["sentence"]
        assert "IPv4" in finding["sentence"]
        assert "IPv6" in finding["sentence"]
        assert "; set " in finding["sentence"]
        assert finding["sentence"] in json.dumps(ready, ensure_ascii=False)
        assert status["echo"]["reason"] == finding["sentence"]
        assert status["echo"].get("reachable") is not True


async def test_a_relay_and_an_asterisk_of_ipv6_find_the_default_echo_on_the_loopback_of_ipv6() -> None:
    async with (
        StandIn("::1", 0, "relay", "secret") as asterisk,
        echo("::1") as echo_port,
        running(asterisk, echo_port, NODE_IP="::1", HTTP_BIND="localhost,127.0.0.1") as relay,
    ):
        await until(relay.is_connected, "connected")
        await returned(asterisk, asterisk.place_call(APPLICATION))
        status = await relay.get("/status")
        assert status["echo"]["resolvedAddress"] == f"[::1]:{echo_port}"
        assert "AddressFamilies" not in {finding["code"] for finding in status["preflight"]}


async def test_an_echo_that_stops_answering_is_left_for_the_next_address_of_its_name_under_a_live_call(
    names: dict[str, list[str]],
) -> None:
    names["echo.test"] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    async with StandIn("127.0.0.1", 0, "relay", "secret") as asterisk, echo("127.0.0.4") as echo_port:
        first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        first.bind(("127.0.0.2", echo_port))
        answering = True

        def answer() -> None:
            data, sender = first.recvfrom(2048)
            if answering:
                first.sendto(data, sender)

        asyncio.get_running_loop().add_reader(first, answer)
        async with running(asterisk, echo_port, ECHO_HOST="echo.test") as relay:
            await until(relay.is_connected, "connected")
            caller = asterisk.place_call(APPLICATION)
            await returned(asterisk, caller)
            answering = False
            await until(lambda: relay.relay._resolver.address == ("127.0.0.4", echo_port), "the last address in use")
            before = asterisk.packets(caller)[1]
            await returned(asterisk, caller, before + 50)
            await until(relay.answers, "the echo is reachable")
            assert (await relay.get("/status"))["calls"]["active"] == 1
        asyncio.get_running_loop().remove_reader(first)
        first.close()


async def test_an_echo_whose_ipv6_is_silent_is_used_by_ipv4_where_asterisk_has_both(
    names: dict[str, list[str]],
) -> None:
    names["echo.test"] = ["::1", "127.0.0.1"]
    async with StandIn("::1", 0, "relay", "secret") as asterisk, echo() as echo_port:
        settings = {"ARI_URL": by_name(asterisk.url), "ECHO_HOST": "echo.test"}
        async with running(asterisk, echo_port, **settings) as relay:
            await until(relay.is_connected, "connected")
            own, resolver = relay.relay._call_ports.own_address, relay.relay._resolver
            await until(lambda: resolver.address == ("::1", echo_port), "the family of the connection first")
            await until(lambda: resolver.address == ("127.0.0.1", echo_port), "then the one that answers")
            assert (own.address, own.is_observed) == ("127.0.0.1", False)
            await until(relay.answers, "the echo answers")


class TranslatingPlayer(RtpPlayer):
    """The player of an Asterisk behind a NAT: it announces another address than it sends from."""

    translating = True

    def open(self, channel: str, peer: tuple[str, int]) -> MediaLeg:
        leg = super().open(channel, peer)
        if self.translating:
            leg.local = ("127.0.0.2", leg.local[1])
        return leg


async def test_an_asterisk_that_sends_from_another_address_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sound, "SILENT_AFTER_SECONDS", 0.5)
    player = TranslatingPlayer()
    async with (
        StandIn("127.0.0.1", 0, "relay", "secret", player=player) as asterisk,
        echo() as echo_port,
        running(asterisk, echo_port, ADVERTISE_IP="127.0.0.1") as relay,
    ):
        await until(relay.is_connected, "connected")
        caller = asterisk.place_call(APPLICATION)
        await until(lambda: "where the relay accepts and sends none" in caplog.text, "a line in the log")
        (leg,) = player._legs.values()
        (live,) = (await relay.get("/calls"))["live"]
        source, announced = (f"{host}:{leg.socket.getsockname()[1]}" for host in ("127.0.0.1", "127.0.0.2"))
        for part in (f"from {source}", f"from {announced}", "NAT", "container network", "ADVERTISE_IP"):
            assert part in live["mediaReason"]
        assert live["media"] == "silent"
        assert live["asterisk"] == announced
        relay.relay._preflight.check()
        (finding,) = [each for each in (await relay.get("/status"))["preflight"] if each["code"] == "AsteriskSource"]
        assert finding["sentence"] == live["mediaReason"]
        assert leg.returned == leg.source.foreign == 0
        asterisk.hang_up(caller)
        await until(lambda: relay.relay._telephony.active_calls == 0, "the call ends")
        player.translating = False
        await returned(asterisk, asterisk.place_call(APPLICATION))
        await until(lambda: relay.relay._call_ports.asterisk.translated is None, "the finding goes")

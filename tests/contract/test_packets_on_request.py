"""`/check` of a running relay, and `helm test` over it: packets through the relay, and to the node's own echo."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from in_process import in_process

from rtppool_core.contract.codec import from_json
from rtppool_core.contract.packet_check import PacketCheck
from rtppool_operator.check import ReleasePod, check_release
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.relay_http import RelayHttp
from rtppool_relay.app import Relay
from rtppool_relay.settings import read_settings
from rtppool_testing.echo import echo
from rtppool_testing.ports import free_port, free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(120)
TEN = {"sent": 10, "answered": 10}


@asynccontextmanager
async def running(echo_port: int, node_echo_port: int, **others: str) -> AsyncIterator[int]:
    """Run a relay and yield its HTTP port."""
    port = free_port()
    variables = {
        "NODE_NAME": "node-1",
        "HTTP_BIND": "127.0.0.1",
        "HTTP_PORT": str(port),
        "ECHO_PORT": str(echo_port),
        "NODE_ECHO_PORT": str(node_echo_port),
        "PORT_RANGE": str(free_range(4)),
        "POOL_CONFIG": "/nowhere/pools.json",
        "HOST_WITNESSES": "off",
    }
    relay = Relay(read_settings(variables | others))
    async with in_process(relay):
        await until(lambda: relay._lifecycle.ports_tried, "the relay serves")
        yield port


async def check(port: int) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/check") as response,
    ):
        return dict(json.loads(await response.text()))


async def helm_test(port: int, *pods: ReleasePod) -> list[tuple[bool, str]]:
    relay = RelayPod("relay-1", "uid-1", "node-1", "127.0.0.1", port)
    http = RelayHttp(None, None, 20)
    verdicts = await check_release([ReleasePod("relay", "relay-1", "node-1", relay=relay), *pods], http, "voice")
    await http.close()
    return [(verdict.failed, verdict.line) for verdict in verdicts]


async def test_a_relay_sends_packets_through_itself_and_to_the_echo_of_its_node() -> None:
    async with echo() as far, echo() as own, running(far, own) as port:
        answer = await check(port)
        assert answer["node"] == "node-1"
        assert answer["throughRelay"].items() >= ({"target": f"127.0.0.1:{far}"} | TEN).items()
        assert answer["nodeEcho"].items() >= ({"target": f"127.0.0.1:{own}"} | TEN).items()
        assert from_json(PacketCheck, answer).through_relay.ok
        assert answer["nodeEcho"]["medianMicroseconds"] > 0


async def test_a_flood_of_requests_shares_two_checks() -> None:
    class Counting(asyncio.DatagramProtocol):
        packets = 0

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            self.packets += 1
            self.transport.sendto(data, address)

    loop = asyncio.get_running_loop()
    own, counted = await loop.create_datagram_endpoint(Counting, local_addr=("127.0.0.1", 0))
    async with echo() as far, running(far, own.get_extra_info("sockname")[1]) as port:
        answers = await asyncio.gather(*(check(port) for _ in range(30)))
        assert [answer["nodeEcho"]["answered"] for answer in answers] == [10] * 30
        assert counted.packets in {10, 20}
    own.close()


async def test_helm_test_names_the_node_whose_own_echo_is_silent_and_what_to_do() -> None:
    async with echo() as far, running(far, silent := free_port()) as port:
        through, own = await helm_test(port, ReleasePod("echo", "echo-1", "node-1"))
        assert through[0] is False
        assert own[0] is True
        assert own[1].startswith(f"node node-1: to the node's own echo at 127.0.0.1:{silent}: sent 1")
        assert "(connection refused: no echo listens there). see kubectl logs of the node's echo" in own[1]
        # Without an echo pod on the node, its relay is not asked to reach one.
        assert len(await helm_test(port)) == 1


async def test_helm_test_names_the_node_whose_relay_gets_no_answers() -> None:
    async with echo() as own, running(silent := free_port(), own) as port:
        through, beside = await helm_test(port, ReleasePod("echo", "echo-1", "node-1"))
        line = (
            f"node node-1: through the relay to the echo at 127.0.0.1:{silent}: sent 10, returned 0. see the condition"
        )
        assert through[0] is True
        assert through[1].startswith(line)
        assert beside[0] is False


async def test_helm_test_names_an_echo_whose_name_has_no_address() -> None:
    async with echo() as own, running(own, own, ECHO_HOST="echo.invalid") as port:
        ((failed, line),) = await helm_test(port)
        assert failed
        assert "can't be resolved" in line

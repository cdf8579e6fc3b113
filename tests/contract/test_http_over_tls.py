"""A relay and an echo that serve HTTPS, and the operator's poll of that relay."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
import trustme
from in_process import in_process

from rtppool_core.net.tls_files import TrustedAuthority
from rtppool_echo.app import Echo
from rtppool_echo.settings import read_settings as read_echo_settings
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.polling import Poller
from rtppool_relay.app import Relay
from rtppool_relay.settings import read_settings as read_relay_settings
from rtppool_testing.certificates import write_secret
from rtppool_testing.echo import echo
from rtppool_testing.ports import free_port, free_range
from rtppool_testing.waiting import until

NAME = "rtp.voice.svc"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a folder with the keys of a Secret."""
    write_secret(trustme.CA(), NAME, tmp_path)
    return tmp_path


def common(secret: Path, http_port: int) -> dict[str, str]:
    return {"HTTP_BIND": "localhost", "HTTP_PORT": str(http_port), "HTTP_TLS_DIR": str(secret), "HOST_WITNESSES": "off"}


async def test_the_operator_reads_the_report_of_a_relay_with_tls(secret: Path) -> None:
    port = free_port()
    async with echo() as echo_port:
        variables = {
            "NODE_NAME": "node-1",
            "ECHO_PORT": str(echo_port),
            "PORT_RANGE": str(free_range(4)),
            "POOL_CONFIG": "/nowhere/pools.json",
        }
        relay = Relay(read_relay_settings(common(secret, port) | variables))
        poller = Poller(None, TrustedAuthority("RELAY_CA_FILE", secret / "ca.crt", NAME))
        pod = RelayPod("relay-1", "uid-1", "node-1", "127.0.0.1", port)

        async def is_reported() -> bool:
            await poller.ask(pod)
            return pod.uid in poller.last_reports

        async with in_process(relay):
            for _ in range(200):
                if await is_reported():
                    break
                await asyncio.sleep(0.1)
            assert poller.last_reports[pod.uid].report.node == "node-1", poller.failures
        await poller.close()


async def test_an_echo_with_tls_answers_no_plain_http(secret: Path) -> None:
    port = free_port()
    served = Echo(read_echo_settings(common(secret, port) | {"ECHO_PORT": str(free_port()), "ECHO_SCHEDULING": "fair"}))
    trusted = TrustedAuthority("RELAY_CA_FILE", secret / "ca.crt", NAME)
    async with in_process(served), aiohttp.ClientSession() as session:
        await until(lambda: served.http_port != 0 and served._not_serving is None, "the echo serves")
        address = f"127.0.0.1:{port}/ready"
        async with session.get(f"https://{address}", ssl=trusted.context(), server_hostname=NAME) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://{address}")

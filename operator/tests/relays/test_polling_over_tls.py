"""Polls of relays over TLS, with a private authority and real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.report import Report
from rtppool_core.net.tls_files import TrustedAuthority
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.polling import Poller
from rtppool_testing.certificates import server_context, write_authority

NAME = "rtp-pool.voice.svc"
MakeReport = Callable[..., Report]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    return write_authority(authority, tmp_path)


@pytest.fixture
async def relay(authority: trustme.CA, make_report: MakeReport) -> AsyncIterator[RelayPod]:
    async def status(_request: web.Request) -> web.StreamResponse:
        return web.json_response(to_json(make_report()))

    app = web.Application()
    app.router.add_get("/status", status)
    context = server_context(authority, NAME)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield RelayPod("relay-a", "uid-a", "a", "127.0.0.1", runner.addresses[0][1])
    await runner.cleanup()


async def failure(relay: RelayPod, trusted: TrustedAuthority | None) -> str:
    poller = Poller(None, trusted)
    try:
        await poller.ask(relay)
        return poller.failures[relay.uid].reason if relay.uid in poller.failures else ""
    finally:
        await poller.close()


async def test_a_relay_is_known_by_the_name_in_its_certificate_and_not_by_its_address(
    relay: RelayPod, ca_file: Path
) -> None:
    assert await failure(relay, TrustedAuthority("RELAY_CA_FILE", ca_file, NAME)) == ""


async def test_a_certificate_for_another_name_is_reported_with_the_name_that_it_needs(
    relay: RelayPod, ca_file: Path
) -> None:
    reason = await failure(relay, TrustedAuthority("RELAY_CA_FILE", ca_file, "other.voice.svc"))
    assert f"127.0.0.1:{relay.port}: its certificate is not accepted (Hostname mismatch" in reason
    assert f"accepted is one for other.voice.svc, signed by the authority in RELAY_CA_FILE={ca_file}" in reason


async def test_a_certificate_of_another_authority_is_reported(relay: RelayPod, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    trustme.CA().cert_pem.write_to_path(other)
    reason = await failure(relay, TrustedAuthority("RELAY_CA_FILE", other, NAME))
    assert "its certificate is not accepted (unable to get local issuer certificate)" in reason


async def test_a_replaced_authority_is_in_force_at_the_next_connection(
    relay: RelayPod, authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file = tmp_path / "rotated.crt"
    trustme.CA().cert_pem.write_to_path(ca_file)
    poller = Poller(None, TrustedAuthority("RELAY_CA_FILE", ca_file, NAME))
    await poller.ask(relay)
    assert relay.uid in poller.failures
    authority.cert_pem.write_to_path(ca_file)
    await poller.ask(relay)
    assert relay.uid not in poller.failures
    await poller.close()


async def test_a_secret_without_the_authority_is_reported_with_the_key_that_it_needs(
    relay: RelayPod, tmp_path: Path
) -> None:
    reason = await failure(relay, TrustedAuthority("RELAY_CA_FILE", tmp_path / "none" / "ca.crt", NAME))
    assert "No such file or directory" in reason
    assert "ca.crt in the Secret of http.tlsSecret" in reason


async def test_a_relay_that_does_not_speak_tls_is_reported(ca_file: Path) -> None:
    runner = web.AppRunner(web.Application(), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relay = RelayPod("relay-a", "uid-a", "a", "127.0.0.1", runner.addresses[0][1])
    reason = await failure(relay, TrustedAuthority("RELAY_CA_FILE", ca_file, NAME))
    await runner.cleanup()
    assert f"127.0.0.1:{relay.port} does not speak TLS" in reason


async def test_a_relay_over_tls_that_is_not_there_is_reported_as_without_tls(ca_file: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        relay = RelayPod("relay-a", "uid-a", "a", "127.0.0.1", free.getsockname()[1])
        reason = await failure(relay, TrustedAuthority("RELAY_CA_FILE", ca_file, NAME))
    assert reason == f"127.0.0.1:{relay.port} can't be connected (Connect call failed ('127.0.0.1', {relay.port}))"

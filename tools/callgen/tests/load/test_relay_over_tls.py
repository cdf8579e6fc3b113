"""The load test's reads of a relay with TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from rtppool_callgen.load.relay_reader import RelayReader, RelayUnreadable
from rtppool_core.net.http_endpoints import listen
from rtppool_core.net.tls_files import ServerCertificate, TrustedAuthority
from rtppool_testing.certificates import write_secret

NAME = "rtp-pool.voice.svc"


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[str]:
    write_secret(trustme.CA(), NAME, tmp_path)

    async def status(_request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/status", status)
    runner, port = await listen(app, "127.0.0.1", 0, ServerCertificate("HTTP_TLS_DIR", tmp_path).context)
    yield f"https://127.0.0.1:{port}"
    await runner.cleanup()


async def test_a_relay_is_read_with_its_authority_and_name(relay: str, tmp_path: Path) -> None:
    async with RelayReader(relay, "", TrustedAuthority("RELAY_CA_FILE", tmp_path / "ca.crt", NAME)) as reader:
        assert await reader.document("/status") == {}


async def test_a_certificate_that_is_not_trusted_is_refused_with_the_settings(relay: str, tmp_path: Path) -> None:
    async with RelayReader(relay, "") as reader:
        with pytest.raises(RelayUnreadable, match=r"certificate is not accepted .*; set RELAY_CA_FILE and RELAY_TLS_N"):
            await reader.document("/status")
    other = TrustedAuthority("RELAY_CA_FILE", tmp_path / "ca.crt", "other.voice.svc")
    async with RelayReader(relay, "", other) as reader:
        with pytest.raises(RelayUnreadable, match=r"accepted is one for other\.voice\.svc"):
            await reader.document("/status")
    async with RelayReader(relay, "", TrustedAuthority("RELAY_CA_FILE", tmp_path / "none", NAME)) as reader:
        with pytest.raises(RelayUnreadable, match=r"RELAY_CA_FILE=.*No such file"):
            await reader.document("/status")

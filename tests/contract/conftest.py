"""The Asterisk under test: the stand-in, or the one at ARI_CONTRACT_URL."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from ari_under_test import Ari, Receiver, source_address

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_relay.ari.rest import AriClient
from rtppool_testing.echo import echo


@pytest.fixture
async def ari() -> AsyncIterator[Ari]:
    application = f"contract-{secrets.token_hex(4)}"
    url = os.environ.get("ARI_CONTRACT_URL", "")
    if url:
        user, password = os.environ["ARI_CONTRACT_USER"], os.environ["ARI_CONTRACT_PASS"]
        client = AriClient(url, user, password)
        yield Ari(url, user, password, application, client)
        await client.close()
        return
    async with StandIn("127.0.0.1", 0, "relay", "secret") as stand_in:
        client = AriClient(stand_in.url, "relay", "secret")
        yield Ari(stand_in.url, "relay", "secret", application, client)
        await client.close()


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with StandIn("127.0.0.1", 0, "relay", "secret") as running:
        yield running


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    async with echo() as port:
        yield port


@pytest.fixture
async def receiver(ari: Ari) -> AsyncIterator[Receiver]:
    with Receiver(source_address(urlsplit(ari.url).hostname or "")) as open_receiver:
        yield open_receiver

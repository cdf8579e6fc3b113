"""ARI over TLS with a private authority: requests, the websocket, and the errors where trust is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.process.settings import SettingsError
from rtppool_relay.ari.errors import AriUnreachable
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.settings import read_settings
from rtppool_testing.certificates import server_context, write_authority

APPLICATION = "rtp-pool"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    return write_authority(authority, tmp_path)


@asynccontextmanager
async def asterisk(authority: trustme.CA, name: str) -> AsyncIterator[StandIn]:
    """Run a stand-in whose certificate is for `name`."""
    async with StandIn("127.0.0.1", 0, "relay", "secret", tls=server_context(authority, name)) as stand_in:
        yield stand_in


@asynccontextmanager
async def client_of(url: str, ca_file: Path | None) -> AsyncIterator[AriClient]:
    """Yield the client that the relay's settings make."""
    variables = {"ARI_URL": url} | ({"ARI_CA_FILE": str(ca_file)} if ca_file else {})
    client = AriClient(url, "relay", "secret", read_settings(variables).ari_tls)
    try:
        yield client
    finally:
        await client.close()


async def refusal(client: AriClient) -> tuple[str, str]:
    """Return the errors of a request and of the websocket."""
    with pytest.raises(AriUnreachable) as of_request:
        await client.channels()
    with pytest.raises(AriUnreachable) as of_events:
        async with client.events(APPLICATION):
            pass
    return str(of_request.value), str(of_events.value)


async def test_requests_and_events_go_over_tls_with_an_authority_of_one_s_own(
    authority: trustme.CA, ca_file: Path
) -> None:
    async with asterisk(authority, "127.0.0.1") as stand_in, client_of(stand_in.url, ca_file) as client:
        assert stand_in.url.startswith("https://")
        async with client.events(APPLICATION) as events:
            stand_in.place_call(APPLICATION)
            assert (await client.channels()).items[0].id == "standin-1"
            assert (await anext(events)) is not None


async def test_the_error_names_an_unknown_authority(authority: trustme.CA) -> None:
    async with asterisk(authority, "127.0.0.1") as stand_in, client_of(stand_in.url, None) as client:
        for sentence in await refusal(client):
            assert "shows a certificate that is not accepted (unable to get local issuer certificate)" in sentence
            assert "ARI_CA_FILE" in sentence


async def test_the_error_names_a_certificate_for_another_name(authority: trustme.CA, ca_file: Path) -> None:
    async with asterisk(authority, "pbx.example") as stand_in, client_of(stand_in.url, ca_file) as client:
        for sentence in await refusal(client):
            assert "not accepted (IP address mismatch, certificate is not valid for '127.0.0.1')" in sentence


async def test_the_error_names_a_port_without_tls(ca_file: Path) -> None:
    async with StandIn("127.0.0.1", 0, "relay", "secret") as plain:
        url = plain.url.replace("http://", "https://")
        async with client_of(url, ca_file) as client:
            for sentence in await refusal(client):
                assert "does not speak TLS as expected" in sentence
                assert "tlsbindaddr" in sentence


def problem_of(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(variables)
    (problem,) = caught.value.problems
    return problem


def test_a_file_of_certificates_that_is_not_there_is_a_problem_of_the_settings(tmp_path: Path) -> None:
    path = str(tmp_path / "none.crt")
    problem = problem_of(ARI_URL="https://pbx:8089/ari", ARI_CA_FILE=path)
    assert problem.startswith(f"ARI_CA_FILE={path}: can't be read (No such file or directory); accepted is")


@pytest.mark.parametrize("content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nbroken"])
def test_a_file_without_certificates_is_a_problem_of_the_settings(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ca.crt"
    path.write_text(content)
    problem = problem_of(ARI_URL="https://pbx:8089/ari", ARI_CA_FILE=str(path))
    assert problem.startswith(f"ARI_CA_FILE={path}: holds no certificate in PEM; accepted is")


def test_an_authority_for_a_url_without_tls_is_a_contradiction(ca_file: Path) -> None:
    problem = problem_of(ARI_URL="http://pbx:8088/ari", ARI_CA_FILE=str(ca_file))
    assert "is set, but ARI_URL=http://pbx:8088/ari does not use TLS" in problem

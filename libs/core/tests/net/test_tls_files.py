"""TLS with certificates of a private authority, over real sockets, while the files are replaced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from prometheus_client import CollectorRegistry

from rtppool_core.net.http_endpoints import Health, listen, make_app
from rtppool_core.net.http_listener import MAX_CONNECTIONS, RESERVED_DESCRIPTORS
from rtppool_core.net.tls_files import ServerCertificate, TlsFileError, TrustedAuthority
from rtppool_core.process.settings import Environment, SettingsError
from rtppool_testing.certificates import write_secret
from rtppool_testing.descriptors import no_free_descriptor

NAME = "rtp-pool.voice.svc"


class Mount:
    """A folder as the kubelet mounts a Secret: links to the files of one version, replaced by one rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = 0
        folder.mkdir()
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (folder / name).symlink_to(f"..data/{name}")

    def write(self, authority: trustme.CA, name: str = NAME, key_of: trustme.LeafCert | None = None) -> None:
        self._versions += 1
        version = self.folder / f"..version{self._versions}"
        version.mkdir()
        write_secret(authority, name, version, key_of)
        link = self.folder / "..new"
        link.symlink_to(version.name)
        link.replace(self.folder / "..data")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def mount(authority: trustme.CA, tmp_path: Path) -> Mount:
    made = Mount(tmp_path / "tls")
    made.write(authority)
    return made


@pytest.fixture
async def port(mount: Mount) -> AsyncIterator[int]:
    certificate = ServerCertificate("HTTP_TLS_DIR", mount.folder, clock=lambda: 0.0)
    app = make_app(CollectorRegistry(), Health, Health)
    runner, port = await listen(app, "127.0.0.1", 0, certificate.context, shutdown_seconds=0.05)
    yield port
    await runner.cleanup()


async def ask(port: int, trusted: TrustedAuthority) -> int:
    """Return the status of /health over a new connection."""
    url = f"https://127.0.0.1:{port}/health"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, ssl=trusted.context(), server_hostname=trusted.server_name) as response,
    ):
        return response.status


def trust(mount: Mount, name: str = NAME) -> TrustedAuthority:
    return TrustedAuthority("RELAY_CA_FILE", mount.folder / "ca.crt", name)


async def test_a_server_that_is_reached_by_address_is_known_by_the_name_in_its_certificate(
    mount: Mount, port: int
) -> None:
    assert await ask(port, trust(mount)) == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await ask(port, trust(mount, "another.voice.svc"))


async def test_a_replaced_certificate_is_that_of_new_connections_and_open_ones_go_on(mount: Mount, port: int) -> None:
    url, before, other = f"https://127.0.0.1:{port}/health", trust(mount), trustme.CA()
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=before.context(), server_hostname=NAME) as response:
            assert response.status == 200
        old = before.context()
        mount.write(other)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await asyncio.create_task(_ask_with(port, old))
        assert await ask(port, before) == 200
        async with session.get(url, ssl=old, server_hostname=NAME) as response:
            assert response.status == 200


async def _ask_with(port: int, context: ssl.SSLContext) -> None:
    async with aiohttp.ClientSession() as session:
        await session.get(f"https://127.0.0.1:{port}/health", ssl=context, server_hostname=NAME)


def test_a_pair_that_does_not_fit_leaves_the_one_before_in_force_and_is_one_line_of_the_log(
    mount: Mount, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    now_seconds = 0.0
    certificate = ServerCertificate("HTTP_TLS_DIR", mount.folder, clock=lambda: now_seconds)
    before = certificate.context()
    mount.write(authority, key_of=authority.issue_cert(NAME))
    with caplog.at_level(logging.WARNING):
        assert certificate.context() is before
        now_seconds = 5.0
        assert certificate.context() is before
    (line,) = caplog.messages
    assert line.startswith(f"HTTP_TLS_DIR={mount.folder}: no usable certificate or key (KEY_VALUES_MISMATCH); accepted")
    mount.write(authority)
    now_seconds = 10.0
    assert certificate.context() is not before


def test_a_key_that_is_written_after_its_certificate_is_used_at_the_next_try(
    authority: trustme.CA, tmp_path: Path
) -> None:
    now_seconds = 0.0
    first, second = authority.issue_cert(NAME), authority.issue_cert(NAME)
    first.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    first.private_key_pem.write_to_path(tmp_path / "tls.key")
    certificate = ServerCertificate("HTTP_TLS_DIR", tmp_path, clock=lambda: now_seconds)
    before = certificate.context()
    second.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    assert certificate.context() is before
    second.private_key_pem.write_to_path(tmp_path / "tls.key")
    assert certificate.context() is before
    now_seconds = 1.0
    assert certificate.context() is not before


def test_a_folder_without_a_usable_pair_is_an_error_of_the_settings(tmp_path: Path, authority: trustme.CA) -> None:
    accepted = "accepted is a folder with tls.crt and tls.key in PEM, which belong together"
    for content, reason in ((None, "tls.crt: No such file or directory"), (b"x", "no usable certificate or key")):
        if content is not None:
            (tmp_path / "tls.crt").write_bytes(content)
            authority.issue_cert(NAME).private_key_pem.write_to_path(tmp_path / "tls.key")
        env = Environment({"HTTP_TLS_DIR": str(tmp_path)})
        assert env.server_certificate("HTTP_TLS_DIR") is None
        with pytest.raises(SettingsError) as caught:
            env.finish()
        assert str(caught.value).startswith(f"HTTP_TLS_DIR={tmp_path}: {reason}")
        assert accepted in str(caught.value)


def test_a_key_with_a_password_is_an_error_and_asks_no_terminal(tmp_path: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert(NAME)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "tls.key").write_bytes(locked)
    with pytest.raises(TlsFileError, match="no usable certificate or key"):
        ServerCertificate("HTTP_TLS_DIR", tmp_path)


def test_an_authority_without_the_servers_name_is_an_error_and_a_missing_file_is_one_at_its_use(
    tmp_path: Path,
) -> None:
    missing = tmp_path / "ca.crt"
    env = Environment({"RELAY_CA_FILE": str(missing)})
    assert env.trusted_authority("RELAY_CA_FILE", "RELAY_TLS_NAME") is None
    with pytest.raises(SettingsError, match="RELAY_TLS_NAME=: accepted with RELAY_CA_FILE is a name"):
        env.finish()
    with pytest.raises(TlsFileError) as caught:
        TrustedAuthority("RELAY_CA_FILE", missing, NAME).context()
    assert str(caught.value) == (
        f"RELAY_CA_FILE={missing}: No such file or directory; accepted is a PEM file with the certificate of the "
        "authority (ca.crt in the Secret of http.tlsSecret)"
    )


@contextlib.asynccontextmanager
async def connections(port: int, number: int, sent: bytes = b"") -> AsyncIterator[list[socket.socket]]:
    clients = []
    try:
        for _ in range(number):
            clients.append(await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port)))
            with contextlib.suppress(OSError):
                clients[-1].sendall(sent)
        yield clients
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
async def test_handshakes_that_never_end_never_shut_out_a_request(mount: Mount, port: int, sent: bytes) -> None:
    async with connections(port, 4 * MAX_CONNECTIONS, sent):
        assert await ask(port, trust(mount)) == 200


async def test_a_client_without_tls_is_disconnected_without_a_line_of_the_log(
    mount: Mount, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with connections(port, 1, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") as (client,):
        client.settimeout(30)
        answer = await asyncio.to_thread(_read_all, client)
    assert not answer.startswith(b"HTTP")
    assert await ask(port, trust(mount)) == 200
    assert caplog.messages == []


def _read_all(client: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := client.recv(4096):
            received += part
    return bytes(received)


async def test_handshakes_without_a_free_descriptor_in_the_process_never_shut_out_a_request(
    mount: Mount, port: int
) -> None:
    context = trust(mount).context()
    clients = [socket.socket() for _ in range(10 * RESERVED_DESCRIPTORS)]
    loop = asyncio.get_running_loop()
    try:
        with no_free_descriptor():
            for client in clients:
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", port))
            assert (await asyncio.to_thread(_ask_over, clients[-1], context)).startswith(b"HTTP/1.1 200")
    finally:
        for client in clients:
            client.close()


def _ask_over(client: socket.socket, context: ssl.SSLContext) -> bytes:
    client.settimeout(20)
    with context.wrap_socket(client, server_hostname=NAME) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(4096)

"""A real API server on loopback: etcd and kube-apiserver, with RBAC and an audit log of the operator's account.

There is no controller-manager: nothing makes accounts' tokens (so the ServiceAccount admission is off), garbage is not
collected, and a namespace that is deleted stays for ever. Nobody may need any of it here.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from lab.base.errors import LabError
from lab.base.places import LOOPBACK, inherited_variables
from lab.base.processes import Process
from lab.base.waiting import wait_until

START_SECONDS = 60.0
POLL_SECONDS = 0.1
OK = 200
FIRST_PORT, PORTS = 23_000, 9_000


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that the cluster tooling finds or builds."""

    etcd: Path
    api_server: Path
    helm: Path


@dataclass(frozen=True, slots=True)
class Account:
    """Who may speak to the server, by a token of this run."""

    user: str
    groups: tuple[str, ...]
    token: str


def administrator() -> Account:
    """May do everything: the person at kubectl, and what the harness plays (kubelet, DaemonSet)."""
    return Account("administrator", ("system:masters",), secrets.token_hex(16))


def service_account(namespace: str, name: str) -> Account:
    """Has the rights that roles are bound to for a ServiceAccount, and no others."""
    return Account(
        f"system:serviceaccount:{namespace}:{name}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}"),
        secrets.token_hex(16),
    )


class ApiServer:
    """etcd keeps what was written over restarts of the server. `audited` is the account whose requests are logged."""

    def __init__(self, programs: Programs, folder: Path, accounts: tuple[Account, ...], audited: Account) -> None:
        self._programs = programs
        self._folder = folder
        self._etcd_port, self._peer_port, self.port = free_ports(3)
        self._etcd: Process | None = None
        self._server: Process | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokens.csv").write_text(
            "".join(f'{each.token},{each.user},{each.user},"{",".join(each.groups)}"\n' for each in accounts)
        )
        (folder / "tokens.csv").chmod(0o600)
        (folder / "audit-policy.yaml").write_text(_audit_policy(audited))

    @property
    def url(self) -> str:
        """Where it answers, with TLS."""
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def certificate(self) -> Path:
        """The server's own, which a client trusts."""
        return self._folder / "certificates/apiserver.crt"

    @property
    def audit_log(self) -> Path:
        """A line of JSON for each request of the audited account that was answered."""
        return self._folder / "audit.log"

    def trust(self) -> ssl.SSLContext:
        """What a client checks the server by."""
        return ssl.create_default_context(cafile=str(self.certificate))

    async def start(self) -> None:
        """Start etcd and the server, and wait until it is ready.

        Raises:
            LabError: one of them ended, or is not ready in time.
        """
        self._etcd = Process("etcd", self._etcd_command(), inherited_variables(), self._folder / "etcd.log")
        await self.restart()

    async def restart(self) -> None:
        """Start the server after `kill`, and wait until it is ready.

        Raises:
            LabError: it ended, or is not ready in time.
        """
        self._server = Process(
            "kube-apiserver", self._command(), inherited_variables(), self._folder / "kube-apiserver.log"
        )
        await self.wait_ready()

    async def wait_ready(self) -> None:
        """Wait until `/readyz` says so.

        Raises:
            LabError: it ended, or is not ready in time.
        """

        async def is_ready() -> bool:
            self._running().check()
            self._store().check()
            return await self._answers()

        try:
            await wait_until("kube-apiserver is ready", is_ready, START_SECONDS, poll_seconds=POLL_SECONDS)
        except LabError as error:
            raise LabError(f"{error}\n{self._running().tail()}") from error

    def pause(self) -> None:
        """Stop it where it is: connections stay open, nothing is answered."""
        self._running().pause()

    def resume(self) -> None:
        """Let it go on."""
        self._running().resume()

    def pause_store(self) -> None:
        """Stop etcd where it is: the server answers what its cache knows, and nothing else."""
        self._store().pause()

    def resume_store(self) -> None:
        """Let etcd go on."""
        self._store().resume()

    async def kill(self) -> None:
        """End the server without a word: connections break, new ones are refused."""
        await self._running().kill()

    async def close(self) -> None:
        """End both."""
        for process in (self._server, self._etcd):
            if process is not None:
                await process.end()

    async def _answers(self) -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=2)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"{self.url}/readyz", ssl=self.trust()) as response,
            ):
                return response.status == OK
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _running(self) -> Process:
        if self._server is None:
            raise LabError("kube-apiserver was not started")
        return self._server

    def _store(self) -> Process:
        if self._etcd is None:
            raise LabError("etcd was not started")
        return self._etcd

    def _etcd_command(self) -> list[str | Path]:
        client, peer = f"http://{LOOPBACK}:{self._etcd_port}", f"http://{LOOPBACK}:{self._peer_port}"
        return [
            self._programs.etcd,
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=error",
            # Its disk is this machine's, whose power is not among the faults.
            "--unsafe-no-fsync",
        ]

    def _command(self) -> list[str | Path]:
        certificates = self._folder / "certificates"
        # The server makes its own key at its first start; nothing but tests ever signs tokens with it.
        key = certificates / "apiserver.key"
        return [
            self._programs.api_server,
            f"--etcd-servers=http://{LOOPBACK}:{self._etcd_port}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={self.port}",
            f"--cert-dir={certificates}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={self._folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self.audit_log}",
        ]


def free_ports(number: int) -> list[int]:
    """Ports that nobody has at this moment, below those that the kernel gives to outgoing connections.

    What listens on one is killed and started again: meanwhile no client of anybody may get its port.
    """
    found: list[int] = []
    while len(found) < number:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((LOOPBACK, port)):
            return True
    except OSError:
        return False


def _audit_policy(audited: Account) -> str:
    return json.dumps(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": [audited.user]}, {"level": "None"}],
        }
    )

"""A real API server on loopback: etcd and kube-apiserver, with RBAC and an audit log of the operator's account.

No controller-manager runs: there are no account tokens (so the ServiceAccount admission is off), no garbage collection,
and a deleted namespace stays. No run may depend on any of these.
"""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from lab.base.audit_policy import audit_policy
from lab.base.errors import LabError
from lab.base.places import LOOPBACK, inherited_variables
from lab.base.processes import Process
from lab.base.waiting import wait_until
from rtppool_testing.ports import free_port

START_SECONDS = 60.0
POLL_SECONDS = 0.1
OK = 200


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that the cluster tooling finds or builds."""

    etcd: Path
    api_server: Path
    helm: Path
    kubectl: Path


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the server, with a token of this run."""

    user: str
    groups: tuple[str, ...]
    token: str


def administrator() -> Account:
    """Return the account with all rights: a person at kubectl, the simulated kubelet and DaemonSet."""
    return Account("administrator", ("system:masters",), secrets.token_hex(16))


def service_account(namespace: str, name: str) -> Account:
    """Return the account of a ServiceAccount, which has only the rights of its roles."""
    return Account(
        f"system:serviceaccount:{namespace}:{name}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}"),
        secrets.token_hex(16),
    )


class ApiServer:
    """etcd and kube-apiserver. Objects survive a restart of the server. Requests of `audited` are logged."""

    def __init__(self, programs: Programs, folder: Path, accounts: tuple[Account, ...], audited: Account) -> None:
        self.administrator = administrator()
        self._programs = programs
        self._folder = folder
        # Below the kernel's ephemeral ports: while a killed server starts again, no connection may get its port.
        self._etcd_port, self._peer_port, self.port = free_port(), free_port(), free_port()
        self._etcd: Process | None = None
        self._server: Process | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokens.csv").write_text(
            "".join(
                f'{each.token},{each.user},{each.user},"{",".join(each.groups)}"\n'
                for each in (self.administrator, *accounts)
            )
        )
        (folder / "tokens.csv").chmod(0o600)
        (folder / "audit-policy.yaml").write_text(audit_policy(users=[audited.user]))

    @property
    def url(self) -> str:
        """The server's URL (TLS)."""
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def certificate(self) -> Path:
        """The server's certificate, which clients trust."""
        return self._folder / "certificates/apiserver.crt"

    @property
    def audit_log(self) -> Path:
        """The audit log: a line of JSON for each answered request of the audited account."""
        return self._folder / "audit.log"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    @property
    def store_pid(self) -> int:
        """The process id of etcd."""
        return self._store().pid

    def trust(self) -> ssl.SSLContext:
        """Return the TLS context of a client."""
        return ssl.create_default_context(cafile=str(self.certificate))

    async def start(self) -> None:
        """Start etcd and the server, and wait until the server is ready.

        Raises:
            LabError: a process ended, or the server is not ready in time.
        """
        self._etcd = Process("etcd", self._etcd_command(), inherited_variables(), self._folder / "etcd.log")
        await self.restart()

    async def restart(self) -> None:
        """Start the server, also after `kill`, and wait until it is ready.

        Raises:
            LabError: a process ended, or the server is not ready in time.
        """
        self._server = Process(
            "kube-apiserver", self._command(), inherited_variables(), self._folder / "kube-apiserver.log"
        )
        await self.wait_ready()

    async def wait_ready(self) -> None:
        """Wait until `/readyz` is OK.

        Raises:
            LabError: a process ended, or the server is not ready in time.
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
        """Pause the server: connections stay open, no request is answered."""
        self._running().pause()

    def resume(self) -> None:
        """Resume the server."""
        self._running().resume()

    def pause_store(self) -> None:
        """Pause etcd: the server answers from its cache alone."""
        self._store().pause()

    def resume_store(self) -> None:
        """Resume etcd."""
        self._store().resume()

    async def kill(self) -> None:
        """Kill the server: connections break, new ones are refused."""
        await self._running().kill()

    async def close(self) -> None:
        """End server and etcd."""
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
            # A loss of power is not among the faults.
            "--unsafe-no-fsync",
        ]

    def _command(self) -> list[str | Path]:
        certificates = self._folder / "certificates"
        # The server generates this key at its first start.
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

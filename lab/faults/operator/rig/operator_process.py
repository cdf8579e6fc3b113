"""The operator as its pod runs it: `python -m rtppool_operator` with an account, a namespace and a pod name."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from lab.base.places import DEFINITION_FILE, LOOPBACK, inherited_variables
from lab.base.processes import Process
from lab.faults.operator.api.api_server import Account
from lab.faults.operator.api.resources import NAMESPACE, OTHER_NAMESPACE
from rtppool_testing.ports import free_port

REQUEST_SECONDS = 2.0


class OperatorProcess:
    """One operator pod. A second start under the same name is a restarted container, another name a replaced pod.

    `server_url` is the API server's or a proxy's. Without a `certificate` it is plain HTTP.
    """

    def __init__(self, folder: Path, pod: str, account: Account, server_url: str, certificate: Path | None) -> None:
        self.pod = pod
        self.http_port = free_port()
        self._folder = folder
        self._process: Process | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{pod}.log"
        self._kubeconfig = folder / f"{pod}.kubeconfig"
        self._kubeconfig.write_text(kubeconfig(account, server_url, certificate))
        self._kubeconfig.chmod(0o600)

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Start the process. `settings` replace those of the rig."""
        self._process = Process(
            f"operator {self.pod}",
            [sys.executable, "-m", "rtppool_operator"],
            {
                **inherited_variables(),
                "KUBECONFIG": str(self._kubeconfig),
                "POD_NAMESPACE": NAMESPACE,
                "POOL_NAMESPACES": OTHER_NAMESPACE,
                # Both namespaces rank alike, so that pools of one take nodes from the other.
                "FOREIGN_POOLS_MAY_TAKE_NODES": "true",
                "POD_NAME": self.pod,
                "HTTP_BIND": LOOPBACK,
                "HTTP_PORT": str(self.http_port),
                "CRD_FILE": str(DEFINITION_FILE),
                "LOG_FORMAT": "json",
                **(settings or {}),
            },
            self.log,
        )

    @property
    def process(self) -> Process:
        """The latest process."""
        if self._process is None:
            raise AssertionError(f"operator {self.pod} was not started")
        return self._process

    @property
    def runs(self) -> bool:
        """Whether the operator was started and has not ended."""
        return self._process is not None and self._process.runs

    async def kill(self) -> None:
        """Kill the operator (SIGKILL), as an out-of-memory kill or a lost node does."""
        await self.process.kill()

    async def end(self) -> None:
        """End the operator (SIGTERM), as a rollout does."""
        if self._process is not None:
            await self._process.end()

    async def answer(self, path: str) -> tuple[int, str]:
        """Return status and body of its HTTP port; status 0 while it does not answer."""
        try:
            timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(f"http://{LOOPBACK}:{self.http_port}{path}") as response,
            ):
                return response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return 0, str(error)

    async def is_ready(self) -> bool:
        """Return whether `/ready` is OK."""
        return (await self.answer("/ready"))[0] == 200

    async def metric(self, name: str) -> float | None:
        """Return the value of a metric without labels, or None."""
        _, text = await self.answer("/metrics")
        for line in text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return None


def kubeconfig(account: Account, server_url: str, certificate: Path | None) -> str:
    """Return the text of a kubeconfig for one account."""
    cluster = {"server": server_url} | ({"certificate-authority": str(certificate)} if certificate is not None else {})
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "operator", "user": {"token": account.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "operator"}}],
            "current-context": "test",
        }
    )

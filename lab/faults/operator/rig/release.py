"""Helm and kubectl on the rig's API server, which runs no pod. Jobs and test pods are left out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import CHART, inherited_variables
from lab.faults.operator.api.api_server import ApiServer
from lab.faults.operator.api.installation import RELEASE
from lab.faults.operator.api.resources import NAMESPACE
from lab.faults.operator.rig.operator_process import kubeconfig

VALUES = ("--set", "image.pullPolicy=Never")


class Release:
    """The release of the chart, as an administrator."""

    def __init__(self, helm: Path, server: ApiServer, folder: Path) -> None:
        self._helm = helm
        self._variables = {**inherited_variables(), "HELM_CACHE_HOME": str(folder), "HELM_CONFIG_HOME": str(folder)}
        self._kubeconfig = folder / "administrator.kubeconfig"
        self._kubeconfig.write_text(kubeconfig(server.administrator, server.url, server.certificate))
        self._kubeconfig.chmod(0o600)

    async def install(self, *words: str) -> str:
        """Install the chart. `words` are further arguments."""
        return await self.run("install", RELEASE, str(CHART), *VALUES, "--no-hooks", *words)

    async def install_with_hooks(self, chart: Path) -> str:
        """Install a chart whose hooks need no pod."""
        return await self.run("install", RELEASE, str(chart), *VALUES)

    async def upgrade(self, *words: str) -> str:
        """Upgrade the release. `words` are further arguments, and earlier values are dropped."""
        return await self.run("upgrade", RELEASE, str(CHART), *VALUES, "--no-hooks", *words)

    async def run(self, *words: str) -> str:
        """Run helm in the release's namespace and return its output.

        Raises:
            LabError: helm fails.
        """
        return await self._run([self._helm, *words, "--namespace", NAMESPACE])

    async def apply(self, kubectl: Path, *words: str) -> str:
        """Apply a rendering without a cluster by kubectl. `words` are further arguments of `helm template`.

        Raises:
            LabError: helm or kubectl fails.
        """
        template = ("template", RELEASE, str(CHART), *VALUES, "--no-hooks", *words)
        return await self._run([kubectl, "apply", "--filename", "-"], await self.run(*template))

    async def _run(self, command: Sequence[str | Path], given: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            *(*map(str, command), "--kubeconfig", str(self._kubeconfig)),
            env=self._variables,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, errors = await process.communicate(given.encode())
        if process.returncode != 0:
            raise LabError(f"{' '.join(map(str, command))}: {errors.decode(errors='replace').strip()}")
        return printed.decode()

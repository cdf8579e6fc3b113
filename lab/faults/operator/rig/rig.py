"""The rig of a run: API server, product, simulated relays, a proxy, operators."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.base.errors import LabError
from lab.base.places import find_places
from lab.base.steps import Steps
from lab.base.waiting import wait_until
from lab.cluster.programs.builds import Programs as ClusterPrograms
from lab.faults.operator.api.api_client import ApiClient, ApiRefused, ApiUnavailable
from lab.faults.operator.api.api_server import Account, ApiServer, Programs, service_account
from lab.faults.operator.api.faulty_proxy import FaultyProxy
from lab.faults.operator.api.installation import (
    ACCOUNT,
    OPERATOR_ROLES,
    UPGRADE_ACCOUNT,
    UPGRADE_ROLES,
    create_namespaces,
    definition,
    install,
    rendered_permissions,
)
from lab.faults.operator.api.resources import CONFIG_MAP, NAMESPACE, NODES, POOLS, Document
from lab.faults.operator.relays.fake_relays import FakeRelays
from lab.faults.operator.relays.remote_relays import RemoteRelays, remote_relays
from lab.faults.operator.rig.converged import Snapshot, differences
from lab.faults.operator.rig.operator_process import OperatorProcess
from rtppool_core.contract.pools_file import FILE_NAME

POLL_SECONDS = 0.1
UNREACHABLE = "the API server does not answer"


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """Relays in a process of their own, which answer after `answer_seconds`."""

    seed: int
    answer_seconds: float


@dataclass(slots=True)
class Rig:
    """The parts of a run. `operators` are all that were created, running or not.

    The relays are those of `remote`, if there are any, and otherwise run in this process.
    """

    folder: Path
    server: ApiServer
    api: ApiClient
    relays: FakeRelays
    proxy: FaultyProxy
    account: Account
    upgrade_account: Account
    permissions: list[Document]
    remote: RemoteRelays | None = None
    operators: list[OperatorProcess] = field(default_factory=list)
    _pods_made: int = 0

    def operator(self, *, proxy: FaultyProxy | None = None, direct: bool = False) -> OperatorProcess:
        """Return a new operator pod, not started, behind the rig's proxy, a proxy of its own, or none."""
        self._pods_made += 1
        url = self.server.url if direct else (proxy or self.proxy).url
        made = OperatorProcess(
            self.folder / "operators",
            f"rtp-operator-{self._pods_made}",
            self.account,
            url,
            self.server.certificate if direct else None,
        )
        self.operators.append(made)
        return made

    async def snapshot(self) -> Snapshot:
        """Return the current state.

        Raises:
            ApiUnavailable: the API server does not answer.
        """
        pools, nodes, config = await asyncio.gather(
            self.api.items(POOLS), self.api.items(NODES), self.api.find(CONFIG_MAP)
        )
        return Snapshot(
            pools,
            {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in nodes},
            tuple(self.relays.by_node.values()) if self.remote is None else (await self.remote.states()).relays,
            (config or {}).get("data", {}).get(FILE_NAME),
        )

    async def differences(self) -> list[str]:
        """Return the differences from the converged state."""
        try:
            return differences(await self.snapshot())
        except (ApiUnavailable, ApiRefused) as error:
            return [f"{UNREACHABLE}: {error}"]

    async def converge(self, seconds: float) -> float:
        """Wait for the converged state; return the seconds passed.

        Raises:
            NotConverged: it is not reached within `seconds`; the message has the differences.
        """
        started = time.monotonic()
        while problems := await self.differences():
            if time.monotonic() - started > seconds:
                raise NotConverged(f"not converged after {seconds:.0f} s:\n  " + "\n  ".join(problems[:8]))
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - started

    async def until(
        self, condition: str, seconds: float, is_met: Callable[[], object], poll_seconds: float = POLL_SECONDS / 2
    ) -> float:
        """Wait until `is_met` returns a true value; return the seconds passed.

        Raises:
            NotConverged: the condition is not met within `seconds`.
        """
        return await wait_until(condition, is_met, seconds, poll_seconds=poll_seconds, failure=NotConverged)

    async def persist(self, act: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Retry an action until the API server answers, as a person at kubectl does."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return await act()
            except ApiUnavailable as error:
                if time.monotonic() > deadline:
                    raise LabError(f"{UNREACHABLE} for {seconds:.0f} s: {error}") from error
                await asyncio.sleep(POLL_SECONDS)


class NotConverged(Exception):  # noqa: N818 an outcome of a run
    """The product did not reach a state in time."""


def find_programs() -> Programs:
    """Return the programs of the cluster tooling; the first build takes minutes.

    Raises:
        LabError: one cannot be built.
    """
    places = find_places(os.environ)
    found = ClusterPrograms(places, Steps(places.logs))
    return Programs(*(found.path(name) for name in ("etcd", "kube-apiserver", "helm", "kubectl")))


@contextlib.asynccontextmanager
async def make_rig(
    folder: Path,
    programs: Programs,
    chance: random.Random,
    document: Document | None = None,
    *,
    bare: bool = False,
    remote: RemoteSettings | None = None,
) -> AsyncIterator[Rig]:
    """Set up a rig for the length of the block. `document` is the installed definition (None: this tree's).

    A `bare` rig has namespaces only, without roles and definition. With `remote`, the relays run in a process of their
    own, and `Rig.relays` has none.

    Raises:
        LabError: the rig cannot be set up.
    """
    account, upgrade_account = (service_account(NAMESPACE, name) for name in (ACCOUNT, UPGRADE_ACCOUNT))
    server = ApiServer(programs, folder, (account, upgrade_account), account)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        permissions, of_upgrade, _ = await asyncio.gather(
            rendered_permissions(programs.helm, OPERATOR_ROLES),
            rendered_permissions(programs.helm, UPGRADE_ROLES),
            server.start(),
        )
        api = ApiClient(server, server.administrator)
        stack.push_async_callback(api.close)
        await create_namespaces(api)
        if not bare:
            await install(api, [*permissions, *of_upgrade], document or definition())
        relays, others = FakeRelays(api, chance), None
        stack.push_async_callback(relays.close)
        if remote is None:
            await relays.start()
        else:
            others = await stack.enter_async_context(
                remote_relays(
                    *(folder, server, server.certificate, server.administrator),
                    *(remote.seed, remote.answer_seconds),
                )
            )
        proxy = FaultyProxy(server)
        stack.push_async_callback(proxy.close)
        await proxy.start()
        rig = Rig(folder, server, api, relays, proxy, account, upgrade_account, permissions, others)
        stack.push_async_callback(_end_operators, rig)
        yield rig


async def _end_operators(rig: Rig) -> None:
    await asyncio.gather(*(each.end() for each in rig.operators))

"""Fixtures of the tests on a real API server, which are collected only with --api-server."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.faults.operator.api.api_server import Programs
from lab.faults.operator.api.resources import NAMESPACE, OTHER_NAMESPACE, pool, pools_of
from lab.faults.operator.rig.rig import Rig, find_programs, make_rig
from lab.faults.operator.runs.stage import Stage

ON_API_SERVER = Path(__file__).parent / "faults/on_api_server"
SEED = 20_260_101
NODES = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --api-server."""
    parser.addoption("--api-server", action="store_true", help="also run the operator's tests on a real API server")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests on a real API server without --api-server."""
    return True if collection_path == ON_API_SERVER and not config.getoption("--api-server") else None


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Return etcd, kube-apiserver, helm and kubectl; the first build takes minutes."""
    try:
        return find_programs()
    except LabError as error:
        pytest.exit(f"{error}", returncode=3)


@pytest.fixture
async def empty_rig(tmp_path: Path, programs: Programs) -> AsyncIterator[Rig]:
    """Yield an API server with the product's roles and definition, and relays on four nodes."""
    async with make_rig(tmp_path, programs, random.Random(SEED)) as rig:
        await rig.relays.add((f"node-{number}", {"zone": "ab"[number % 2]}) for number in range(NODES))
        yield rig


@pytest.fixture
async def stage(empty_rig: Rig) -> Stage:
    """Return the rig with a pool for all nodes, one that selects half of them, and a converged operator."""
    await empty_rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 10_000, 10_100))
    selecting = pool(OTHER_NAMESPACE, "zone-a", 11_000, 11_100, nodeSelector={"zone": "a"})
    await empty_rig.api.create(pools_of(OTHER_NAMESPACE), selecting)
    ready = Stage(empty_rig, random.Random(SEED), empty_rig.operator())
    ready.operator.start()
    await empty_rig.converge(30.0)
    return ready

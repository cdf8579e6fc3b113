"""The operator replaces an older definition, and its roles grant exactly the rights that it needs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.faults.operator.api.api_client import ApiRefused
from lab.faults.operator.api.api_server import Programs
from lab.faults.operator.api.audit import read_audit, unused
from lab.faults.operator.api.installation import definition, older_definition
from lab.faults.operator.api.resources import CONFIG_MAP, DEFINITION, DEFINITIONS, NAMESPACE, pool, pool_path, pools_of
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.rig import Rig, make_rig

pytestmark = pytest.mark.timeout(180)
CONVERGED = 45.0
# One line for each impossible action, and one more because the server's message changes while it starts.
MAX_LINES = 3
REVISION = "rtppool.dev/crd-revision"


@pytest.fixture
async def older_rig(tmp_path: Path, programs: Programs) -> AsyncIterator[Rig]:
    """Yield the state that an older release left: its definition, a pool, and no operator yet."""
    async with make_rig(tmp_path, programs, random.Random(1), older_definition()) as rig:
        await rig.relays.add([("node-0", {})])
        await rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "default", 10_000, 10_100))
        yield rig


async def revision(rig: Rig) -> str:
    return str((await rig.api.get(DEFINITION))["metadata"]["annotations"][REVISION])


async def test_an_older_definition_is_replaced_and_a_field_that_it_did_not_know_reaches_relays(older_rig: Rig) -> None:
    operator = older_rig.operator()
    operator.start()
    await older_rig.converge(CONVERGED)
    assert await revision(older_rig) == definition()["metadata"]["annotations"][REVISION]
    await older_rig.api.patch(pool_path(NAMESPACE, "default"), {"spec": {"reuseDelaySeconds": 17}})
    await older_rig.converge(CONVERGED)
    entry = older_rig.relays.by_node["node-0"].entry
    assert entry is not None
    assert entry.reuse_delay_seconds == 17


async def test_a_newer_definition_is_left_alone(older_rig: Rig) -> None:
    await older_rig.api.patch(DEFINITION, {"metadata": {"annotations": {REVISION: "999"}}})
    operator = older_rig.operator()
    operator.start()
    await older_rig.converge(CONVERGED)
    assert await revision(older_rig) == "999"


async def test_an_operator_that_starts_before_there_is_a_definition_waits_for_one_and_does_not_say_so_again_and_again(
    older_rig: Rig,
) -> None:
    """Helm creates the definition: RBAC cannot grant the creation by name, so the operator does not have this right."""
    await older_rig.api.delete(DEFINITION)
    await older_rig.until("the definition is gone", CONVERGED, lambda: _is_gone(older_rig))
    operator = older_rig.operator()
    operator.start()
    await older_rig.until("it was refused", CONVERGED, lambda: _refusals(operator) > 0)
    await asyncio.sleep(6.0)
    assert operator.runs
    assert _refusals(operator) <= MAX_LINES
    await older_rig.api.create(DEFINITIONS, definition())
    await older_rig.until("a pool can be made", CONVERGED, lambda: _made(older_rig))
    await older_rig.converge(CONVERGED)


async def _is_gone(rig: Rig) -> bool:
    return await rig.api.find(DEFINITION) is None


def _refusals(operator: OperatorProcess) -> int:
    return operator.log.read_text().count("the definition of RtpPool can't be")


async def _made(rig: Rig) -> bool:
    try:
        await rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "again", 10_000, 10_100))
    except ApiRefused:
        return False
    return True


async def test_the_operator_uses_every_right_that_it_has_and_was_denied_nothing(older_rig: Rig) -> None:
    """Exercise definition, lease, configuration, status, events and annotations."""
    operator = older_rig.operator()
    operator.start()
    await older_rig.converge(CONVERGED)
    await older_rig.api.patch(pool_path(NAMESPACE, "default"), {"spec": {"maxCalls": 7}})
    await older_rig.converge(CONVERGED)
    await older_rig.api.delete(CONFIG_MAP)
    await older_rig.converge(CONVERGED)
    await operator.end()
    audit = read_audit(older_rig.server.audit_log.read_text().splitlines())
    assert audit.denied == frozenset()
    assert unused(older_rig.permissions, audit) == []

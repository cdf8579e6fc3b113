"""The operator replaces an older definition, and its roles grant exactly the rights that it needs."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.base.audit_log import read_audit, unused
from lab.base.places import DEFINITION_FILE, inherited_variables
from lab.faults.operator.api.api_client import APPLY, ApiClient, ApiRefused
from lab.faults.operator.api.api_server import Programs
from lab.faults.operator.api.installation import definition, older_definition
from lab.faults.operator.api.resources import CONFIG_MAP, DEFINITION, DEFINITIONS, NAMESPACE, pool, pool_path, pools_of
from lab.faults.operator.rig.operator_process import OperatorProcess, kubeconfig
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


async def test_an_operator_that_starts_before_there_is_a_definition_creates_it(older_rig: Rig) -> None:
    await without_definition(older_rig)
    older_rig.operator().start()
    await older_rig.until("a pool can be made", CONVERGED, lambda: _made(older_rig))
    await older_rig.converge(CONVERGED)
    metadata = (await older_rig.api.get(DEFINITION))["metadata"]
    assert metadata["annotations"]["helm.sh/resource-policy"] == "keep", "no uninstall deletes it"


async def test_the_upgrade_s_job_creates_a_definition_and_replaces_an_older_one(older_rig: Rig) -> None:
    newest = definition()["metadata"]["annotations"][REVISION]
    assert await upgrade_job(older_rig) == 0
    assert await revision(older_rig) == newest
    await without_definition(older_rig)
    assert await upgrade_job(older_rig) == 0
    assert await revision(older_rig) == newest


async def test_the_rights_of_operator_and_job_reach_no_other_definition(older_rig: Rig) -> None:
    other = definition() | {"metadata": {"name": "others.example.com"}}
    for account in (older_rig.account, older_rig.upgrade_account):
        client = ApiClient(older_rig.server, account)
        for path, method in ((f"{DEFINITIONS}/others.example.com", "PATCH"), (DEFINITIONS, "POST")):
            with pytest.raises(ApiRefused) as refused:
                await client.request(method, path, other, APPLY, {"fieldManager": "helm", "force": "true"})
            assert refused.value.status == 403
        await client.close()


async def test_an_operator_that_must_not_apply_the_definition_waits_for_it_and_repeats_no_line(
    older_rig: Rig,
) -> None:
    await without_definition(older_rig)
    operator = older_rig.operator()
    operator.start({"CRD_INSTALL": "false"})
    await older_rig.until("its log has a line", CONVERGED, lambda: _lines(operator, "crds.install is false") > 0)
    await asyncio.sleep(6.0)
    assert operator.runs
    assert _lines(operator, "the definition of RtpPool can't be") <= MAX_LINES
    assert "crds.install is false" in (await operator.answer("/ready"))[1]
    await older_rig.api.create(DEFINITIONS, definition())
    await older_rig.until("a pool can be made", CONVERGED, lambda: _made(older_rig))
    await older_rig.converge(CONVERGED)


async def without_definition(rig: Rig) -> None:
    await rig.api.delete(DEFINITION)
    await rig.until("the definition is gone", CONVERGED, lambda: _is_gone(rig))


async def upgrade_job(rig: Rig) -> int:
    """Run the command of the upgrade's Job with the Job's account; return its exit code."""
    folder = rig.folder / "upgrade"
    folder.mkdir(exist_ok=True)
    (folder / "kubeconfig").write_text(kubeconfig(rig.upgrade_account, rig.server.url, rig.server.certificate))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtppool_operator.kube.crd"),
        env={
            **inherited_variables(),
            "KUBECONFIG": str(folder / "kubeconfig"),
            "CRD_FILE": str(DEFINITION_FILE),
        },
    )
    return await process.wait()


async def _is_gone(rig: Rig) -> bool:
    return await rig.api.find(DEFINITION) is None


def _lines(operator: OperatorProcess, text: str) -> int:
    return operator.log.read_text().count(text)


async def _exists(rig: Rig) -> bool:
    return await rig.api.find(pool_path(NAMESPACE, "default")) is not None


async def _made(rig: Rig) -> bool:
    try:
        await rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "again", 10_000, 10_100))
    except ApiRefused:
        return False
    return True


async def test_the_operator_uses_every_right_that_it_has_and_was_denied_nothing(older_rig: Rig) -> None:
    """Exercise definition, default pool, lease, configuration, status, events and annotations."""
    await without_definition(older_rig)
    operator = older_rig.operator()
    values = {"name": "default", "managed": True, "spec": {"portRange": {"start": 10_000, "end": 10_100}}}
    operator.start({"DEFAULT_POOL": json.dumps(values)})
    await older_rig.until("the default pool is there", CONVERGED, lambda: _exists(older_rig))
    await older_rig.converge(CONVERGED)
    await older_rig.api.patch(pool_path(NAMESPACE, "default"), {"spec": {"maxCalls": 7}})
    await older_rig.converge(CONVERGED)
    await older_rig.api.delete(CONFIG_MAP)
    await older_rig.converge(CONVERGED)
    await operator.end()
    audit = read_audit(older_rig.server.audit_log.read_text().splitlines())
    assert audit.denied == frozenset()
    assert unused(older_rig.permissions, audit) == []

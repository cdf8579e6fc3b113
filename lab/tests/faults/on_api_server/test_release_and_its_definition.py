"""Helm and kubectl on a real API server: the CRD as an object, the generated token, and values that reach the pool."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.base.errors import LabError
from lab.base.previous_version import previous_commit, unpack
from lab.faults.operator.api.api_server import Programs
from lab.faults.operator.api.installation import RELEASE, definition, older_definition, wait_established
from lab.faults.operator.api.resources import CONFIG_MAPS, DEFINITION, DEFINITIONS, NAMESPACE, pool, pool_path, pools_of
from lab.faults.operator.rig.operator_process import OperatorProcess
from lab.faults.operator.rig.release import Release
from lab.faults.operator.rig.rig import Rig, make_rig

pytestmark = pytest.mark.timeout(240)
WITHIN = 60.0
OWNER = "meta.helm.sh/release-name"
REVISION = "rtppool.dev/crd-revision"
PATH = pool_path(NAMESPACE, "default")
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/rtp-operator"
OBJECTS = {
    "rtppools": pools_of(NAMESPACE),
    "configmaps": CONFIG_MAPS,
    "leases": "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
    "customresourcedefinitions": DEFINITIONS,
    "secrets": f"/api/v1/namespaces/{NAMESPACE}/secrets",
    "serviceaccounts": f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
    "deployments": f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
    "daemonsets": f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets",
    "roles": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles",
    "rolebindings": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings",
}
TOKEN = f"/api/v1/namespaces/{NAMESPACE}/secrets/rtp-http-token"


@dataclass(frozen=True, slots=True)
class Stage:
    """An API server without the product, and helm."""

    rig: Rig
    release: Release

    async def operator(self) -> OperatorProcess:
        """Start the operator with the environment of its Deployment."""
        deployment = await self.rig.api.get(DEPLOYMENT)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        names = ("CRD_INSTALL", "DEFAULT_POOL")
        operator = self.rig.operator()
        operator.start({each["name"]: each["value"] for each in container["env"] if each["name"] in names})
        return operator

    async def until_pool(self, first: int, last: int) -> dict[str, Any]:
        """Wait until the default pool has a range; return the pool."""

        async def has_range() -> bool:
            found = await self.rig.api.find(PATH)
            return found is not None and found["spec"]["portRange"] == {"start": first, "end": last}

        await self.rig.until(f"the pool has {first}-{last}", WITHIN, has_range)
        return await self.rig.api.get(PATH)

    async def metadata(self) -> dict[str, Any]:
        """Return the metadata of the CRD."""
        return dict((await self.rig.api.get(DEFINITION))["metadata"])


@pytest.fixture
async def stage(tmp_path: Path, programs: Programs) -> AsyncIterator[Stage]:
    async with make_rig(tmp_path, programs, random.Random(1), bare=True) as rig:
        yield Stage(rig, Release(programs.helm, rig.server, tmp_path))


async def test_values_of_an_upgrade_reach_the_pool_whose_uid_stays_and_the_token_is_kept(stage: Stage) -> None:
    await stage.release.install()
    operator = await stage.operator()
    first = await stage.until_pool(10_000, 10_100)
    token = (await stage.rig.api.get(TOKEN))["data"]["token"]
    await stage.release.upgrade("--set", "portRange.start=20000,portRange.end=20010")
    await operator.end()
    await stage.operator()
    changed = await stage.until_pool(20_000, 20_010)
    assert changed["metadata"]["uid"] == first["metadata"]["uid"]
    assert (await stage.rig.api.get(TOKEN))["data"]["token"] == token
    assert "UDP 20000-20010" in await stage.release.run("get", "notes", RELEASE)


@pytest.mark.full
async def test_the_previous_version_is_upgraded_rolled_back_and_uninstalled_and_its_pool_stays(
    stage: Stage, tmp_path: Path
) -> None:
    try:
        commit = previous_commit()
    except LabError as error:
        pytest.skip(f"not run: {error}")
    previous = tmp_path / "previous"
    unpack(commit, previous)
    await stage.release.install_with_hooks(previous / "charts/rtp-pool")
    uid = (await stage.until_pool(10_000, 10_100))["metadata"]["uid"]
    definition_uid = (await stage.metadata())["uid"]
    await stage.release.upgrade("--set", "portRange.start=20000,portRange.end=20010")
    operator = await stage.operator()
    taken = await stage.until_pool(20_000, 20_010)
    assert not [name for name in taken["metadata"]["annotations"] if name.startswith("helm.sh/")]
    await operator.end()
    await stage.release.run("rollback", RELEASE, "1", "--no-hooks")
    assert (await stage.rig.api.get(PATH))["metadata"]["uid"] == uid
    await stage.release.upgrade()
    await stage.operator()
    assert (await stage.until_pool(10_000, 10_100))["metadata"]["uid"] == uid
    await stage.release.run("uninstall", RELEASE)
    assert (await stage.rig.api.get(PATH))["metadata"]["uid"] == uid
    assert (await stage.metadata())["uid"] == definition_uid


@pytest.mark.full
async def test_an_uninstall_leaves_the_objects_of_the_page_and_no_others(stage: Stage) -> None:
    await stage.release.install()
    operator = await stage.operator()
    await stage.until_pool(10_000, 10_100)
    await operator.end()
    await stage.release.run("uninstall", RELEASE)
    left = {
        f"{kind}/{each['metadata']['name']}"
        for kind, path in OBJECTS.items()
        for each in await stage.rig.api.items(path)
        if any(word in each["metadata"]["name"] for word in ("rtp", "default"))
    }
    page = {"rtppools/default", "configmaps/rtp-relay-config", "leases/rtp-pool-operator"}
    assert left == page | {"customresourcedefinitions/rtppools.rtppool.dev"}


@pytest.mark.full
async def test_kubectl_applies_a_rendering_and_a_later_one_with_other_values(stage: Stage, programs: Programs) -> None:
    token = ("--set", "httpToken.existingSecret=rtp-http-token")
    await stage.release.apply(programs.kubectl, *token)
    operator = await stage.operator()
    first = await stage.until_pool(10_000, 10_100)
    await stage.release.apply(programs.kubectl, *token, "--set", "portRange.start=20000,portRange.end=20010")
    await operator.end()
    await stage.operator()
    assert (await stage.until_pool(20_000, 20_010))["metadata"]["uid"] == first["metadata"]["uid"]


async def test_the_notes_say_when_the_pool_that_users_own_has_another_range_than_the_values(stage: Stage) -> None:
    once = ("--set", "defaultPool.managed=false")
    await stage.release.install(*once)
    await stage.operator()
    await stage.until_pool(10_000, 10_100)
    await stage.release.upgrade(*once, "--set", "portRange.start=20000,portRange.end=20010")
    notes = " ".join((await stage.release.run("get", "notes", RELEASE)).split())
    assert "RtpPool default has the ports 10000-10100, and portRange is 20000-20010." in notes


async def test_a_definition_of_version_0_1_0_stays_outside_the_release_and_is_replaced_all_the_same(
    stage: Stage,
) -> None:
    await stage.rig.api.create(DEFINITIONS, older_definition())
    await wait_established(stage.rig.api)
    await stage.rig.api.create(pools_of(NAMESPACE), pool(NAMESPACE, "kept", 11_000, 11_010))
    await stage.release.install()
    await stage.operator()
    await stage.until_pool(10_000, 10_100)
    await stage.release.upgrade()
    metadata = await stage.metadata()
    assert metadata["annotations"][REVISION] == definition()["metadata"]["annotations"][REVISION]
    assert OWNER not in metadata["annotations"]
    await stage.release.run("uninstall", RELEASE)
    assert await stage.rig.api.find(pool_path(NAMESPACE, "kept"))
    assert await stage.rig.api.find(PATH)


async def test_a_definition_that_the_operator_replaced_is_still_the_release_s(stage: Stage) -> None:
    await stage.release.install()
    uid = (await stage.metadata())["uid"]
    await stage.rig.api.patch(DEFINITION, {"metadata": {"annotations": {REVISION: "1"}}})
    await stage.operator()
    await stage.until_pool(10_000, 10_100)
    assert (await stage.metadata())["annotations"][OWNER] == RELEASE
    await stage.release.upgrade("--set", "logs.level=DEBUG")
    await stage.release.run("rollback", RELEASE, "1", "--no-hooks")
    await stage.release.run("uninstall", RELEASE)
    assert (await stage.metadata())["uid"] == uid
    assert await stage.rig.api.find(PATH), "the pool outlives the release"
    await stage.release.install()
    assert (await stage.metadata())["annotations"][OWNER] == RELEASE


async def test_a_definition_that_was_deleted_by_hand_and_made_by_the_operator_survives_upgrades(stage: Stage) -> None:
    await stage.release.install()
    await stage.rig.api.delete(DEFINITION)

    async def is_gone() -> bool:
        return await stage.rig.api.find(DEFINITION) is None

    await stage.rig.until("the definition is gone", WITHIN, is_gone)
    await stage.operator()
    made = await stage.until_pool(10_000, 10_100)
    await stage.release.upgrade()
    await stage.release.upgrade()
    assert (await stage.rig.api.get(PATH))["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_newer_definition_is_neither_replaced_nor_deleted_by_an_upgrade(stage: Stage) -> None:
    await stage.release.install()
    newer = {"metadata": {"annotations": {REVISION: "999"}}, "spec": {"names": {"categories": ["all", "voice"]}}}
    await stage.rig.api.patch(DEFINITION, newer, fieldManager="kubectl-edit")
    uid = (await stage.metadata())["uid"]
    for _ in range(2):
        await stage.release.upgrade()
        metadata = await stage.metadata()
        assert (metadata["uid"], metadata["annotations"][REVISION]) == (uid, "999")


async def test_an_uninstall_deletes_the_definition_where_the_values_say_so(stage: Stage) -> None:
    await stage.release.install("--set", "crds.keep=false")
    await stage.release.run("uninstall", RELEASE)

    async def is_gone() -> bool:
        return await stage.rig.api.find(DEFINITION) is None

    await stage.rig.until("the definition is gone", WITHIN, is_gone)


async def test_without_crds_install_the_release_touches_no_definition(stage: Stage) -> None:
    await stage.rig.api.create(DEFINITIONS, older_definition())
    await wait_established(stage.rig.api)
    await stage.release.install("--set", "crds.install=false")
    operator = await stage.operator()

    async def is_said() -> bool:
        return "crds.install is false" in operator.log.read_text()

    await stage.rig.until("the operator says why it waits", WITHIN, is_said)
    assert (await stage.metadata())["annotations"][REVISION] == "1"

"""A real API server takes every object of the chart's accepted values, and the notes know another release."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from chart_values import completed, set_values
from strict_yaml import load_all
from test_accepted_values import CASES

from lab.base.places import CHART
from lab.faults.operator.api.api_client import APPLY, ApiRefused
from lab.faults.operator.api.api_server import Programs
from lab.faults.operator.api.installation import RELEASE
from lab.faults.operator.api.resources import NAMESPACE
from lab.faults.operator.rig.release import Release
from lab.faults.operator.rig.rig import Rig, make_rig

pytestmark = pytest.mark.timeout(240)
CLUSTER_KINDS = ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition")
PLURALS = {"NetworkPolicy": "networkpolicies"}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
# The server checks that account, quota and class of a pod exist, and this one comes from an object that it has checked.
LEFT_OUT = ("Pod",)


@pytest.fixture
async def rig(tmp_path: Path, programs: Programs) -> AsyncIterator[Rig]:
    async with make_rig(tmp_path, programs, random.Random(1), bare=True) as made:
        yield made


async def rendered(helm: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(str(helm), "template", "rtp", str(CHART), "--namespace", NAMESPACE, *set_values(completed(values))),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, values
    return [document for document in load_all(printed.decode()) if document]


def path_of(o: dict[str, Any]) -> str:
    """Return the path of an object."""
    group, _, version = o["apiVersion"].rpartition("/")
    place = "" if o["kind"] in CLUSTER_KINDS else f"/namespaces/{o['metadata']['namespace']}"
    plural = PLURALS.get(o["kind"], f"{o['kind'].lower()}s")
    return f"{f'/apis/{group}' if group else '/api'}/{version}{place}/{plural}/{o['metadata']['name']}"


async def test_a_strict_server_takes_every_object_by_server_side_apply(rig: Rig, programs: Programs) -> None:
    query = {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": "test", "force": "true"}
    taken: set[str] = set()
    refused: list[str] = []
    for name, values in CASES.items():
        for o in await rendered(programs.helm, dict(values)):
            text = json.dumps(o, sort_keys=True)
            if o["kind"] in LEFT_OUT or text in taken:
                continue
            taken.add(text)
            try:
                await rig.api.patch(path_of(o), o, APPLY, **query)
            except ApiRefused as error:
                refused.append(f"{name}: {error}")
    assert refused == []
    assert len(taken) > len(CASES)


async def test_that_check_finds_a_field_that_the_server_does_not_know(rig: Rig, programs: Programs) -> None:
    query = {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": "test"}
    (relay,) = [o for o in await rendered(programs.helm, {}) if o["metadata"]["name"] == "rtp-relay" and "spec" in o]
    relay["spec"]["template"]["spec"]["tolerations"] = [{"oprator": "Exists"}]
    with pytest.raises(ApiRefused, match="oprator"):
        await rig.api.patch(path_of(relay), relay, APPLY, **query)


async def test_the_notes_of_a_second_release_name_the_operator_of_the_first(
    rig: Rig, programs: Programs, tmp_path: Path
) -> None:
    holder = {"holderIdentity": "elsewhere/first-operator-5d4-x7k", "leaseDurationSeconds": 15}
    metadata = {"name": "rtp-pool-operator", "namespace": "kube-system"}
    await rig.api.create(
        LEASES, {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata, "spec": holder}
    )
    release = Release(programs.helm, rig.server, tmp_path)
    await release.install()
    notes = " ".join((await release.run("get", "notes", RELEASE)).split())
    assert "WARNING: operator elsewhere/first-operator-5d4-x7k serves this cluster." in notes

"""The product in a new API server, as its chart installs it: definition, namespaces, account and roles."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lab.base.errors import LabError
from lab.base.places import CHART, DEFINITION_FILE
from lab.faults.operator.api.api_client import ApiClient, ApiRefused, ApiUnavailable
from lab.faults.operator.api.resources import DEFINITION, DEFINITIONS, NAMESPACE, NAMESPACES, OTHER_NAMESPACE, POOLS

RELEASE = "rtp"
ACCOUNT = "rtp-operator"
UPGRADE_ACCOUNT = "rtp-crd-upgrade"
OPERATOR_ROLES = "templates/operator/rbac.yaml"
UPGRADE_ROLES = "templates/operator/crd-upgrade.yaml"
REVISION_ANNOTATION = "rtppool.dev/crd-revision"
ESTABLISHED_SECONDS = 20.0
CONFLICT = 409

_LISTS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


async def rendered_permissions(helm: Path, template: str) -> list[dict[str, Any]]:
    """Return the account, roles and bindings of a template as the chart renders it.

    Raises:
        LabError: helm fails.
    """
    return [each for each in await rendered(helm, "--show-only", template) if each["kind"] in _LISTS]


async def rendered(helm: Path, *words: str) -> list[dict[str, Any]]:
    """Return the objects of the chart. `words` are further arguments of `helm template`.

    Raises:
        LabError: helm fails.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(helm), "template", RELEASE, str(CHART), "--namespace", NAMESPACE),
        *("--set", "image.pullPolicy=Never,httpToken.existingSecret=http-token", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await process.communicate()
    if process.returncode != 0:
        raise LabError(f"helm template {CHART}: {errors.decode(errors='replace').strip()}")
    return [document for document in yaml.safe_load_all(printed) if document]


def definition() -> dict[str, Any]:
    """Return this tree's definition of RtpPool."""
    return dict(yaml.safe_load(DEFINITION_FILE.read_text()))


def older_definition() -> dict[str, Any]:
    """Return a definition of an older release: a lower revision, without one of today's fields."""
    older = copy.deepcopy(definition())
    older["metadata"]["annotations"][REVISION_ANNOTATION] = "1"
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["spec"]["properties"]["reuseDelaySeconds"]
    return older


async def create_namespaces(api: ApiClient) -> None:
    """Create the namespaces of a run."""
    for name in (NAMESPACE, OTHER_NAMESPACE):
        await api.create(NAMESPACES, {"metadata": {"name": name}})


async def install(api: ApiClient, permissions: list[dict[str, Any]], document: Mapping[str, Any]) -> None:
    """Create roles and the definition `document`, and wait until pools are served.

    Raises:
        LabError: pools are not served in time.
    """
    for each in permissions:
        place = _LISTS[each["kind"]].format(namespace=each["metadata"].get("namespace"))
        try:
            await api.create(place, each)
        except ApiRefused as refused:
            if refused.status != CONFLICT:
                raise
    await api.create(DEFINITIONS, document)
    await wait_established(api)


async def wait_established(api: ApiClient) -> None:
    """Wait until pools can be listed.

    Raises:
        LabError: they cannot be listed in time.
    """
    deadline = asyncio.get_running_loop().time() + ESTABLISHED_SECONDS
    while True:
        try:
            await api.get(POOLS)
        except (ApiRefused, ApiUnavailable) as refused:
            if asyncio.get_running_loop().time() > deadline:
                raise LabError(f"{DEFINITION} is not served: {refused}") from refused
            await asyncio.sleep(0.1)
        else:
            return

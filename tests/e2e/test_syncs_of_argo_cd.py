"""The chart under Argo CD's order of phases, on an empty cluster and on a running one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from argo_sync import sync
from kube import CHART, NAMESPACE, RELEASE, Kube, has_condition, wait_for
from release import remove_everything

from lab.cluster.images.product_images import TAG

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

VALUES = f"image.pullPolicy=Never,image.tag={TAG},httpToken.existingSecret=rtp-http-token"
CRD = "CustomResourceDefinition/rtppools.rtppool.dev"


def rendering(kube: Kube, values: str = "") -> list[dict[str, Any]]:
    words = ("template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--include-crds", "--set", VALUES)
    printed = kube.helm(*words, *(("--set", values) if values else ()))
    return [document for document in yaml.safe_load_all(printed) if document]


@pytest.fixture
def empty(kube: Kube) -> Iterator[None]:
    """Remove the release of the other tests. Remove the objects of this test afterwards."""
    remove_everything(kube)
    kube.kubectl("create", "namespace", NAMESPACE)
    kube.kubectl("create", "secret", "generic", "rtp-http-token", "-n", NAMESPACE, "--from-literal=token=of-this-test")
    yield
    text = yaml.safe_dump_all(rendering(kube))
    kube.kubectl("delete", "--ignore-not-found", "--wait", "--filename", "-", input_text=text, seconds=120)
    remove_everything(kube)


def hosted(kube: Kube) -> set[int]:
    """Return the UDP hostPorts that the relays' DaemonSet declares."""
    relays = kube.get("daemonset", "rtp-pool-relay", "--namespace", NAMESPACE)
    ports = relays["spec"]["template"]["spec"]["containers"][0]["ports"]
    return {port["hostPort"] for port in ports if port["protocol"] == "UDP"}


def on_range(kube: Kube, first: int, last: int) -> dict[str, Any] | None:
    pool = has_condition(kube, "Ready", "True")
    if pool is None or pool["spec"]["portRange"] != {"start": first, "end": last}:
        raise AssertionError(f"the pool is {pool}")
    return pool


@pytest.mark.usefixtures("empty")
def test_a_first_sync_makes_the_pool_and_a_later_one_changes_it_and_keeps_its_uid(kube: Kube) -> None:
    done = sync(kube, rendering(kube))
    assert (
        done.index("PreSync apply Job/rtp-pool-crd-upgrade")
        < done.index("PreSync done")
        < done.index(f"Sync apply {CRD}")
    )
    assert "PreSync delete Job/rtp-pool-crd-upgrade" in done
    first = wait_for(lambda: on_range(kube, 10000, 10100), "the pool is Ready", 60)

    assert not [line for line in sync(kube, rendering(kube)) if "RtpPool" in line]
    assert kube.pool()["metadata"]["uid"] == first["metadata"]["uid"]

    sync(kube, rendering(kube, "portRange.start=12000,portRange.end=12010"))
    changed = wait_for(lambda: on_range(kube, 12000, 12010), "the pool has the range of the values", 60)
    assert changed["metadata"]["uid"] == first["metadata"]["uid"]
    assert hosted(kube) == set(range(12000, 12011))

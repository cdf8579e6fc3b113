"""Upgrade from the previous version under a live call, rollback, a change of values, and uninstall.

The images of that version are built from its commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kube import CHART, NAMESPACE, RELEASE, Kube, has_condition, wait_for
from long_call import long_call, talking
from phones import Phones, deploy
from release import give_relays, remove_everything

from lab.base.errors import LabError
from lab.base.previous_version import previous_commit
from lab.base.turns import hold_lock
from lab.cluster.images import previous_images, product_images
from lab.cluster.images.product_images import COMPONENTS
from lab.cluster.tooling import make_tooling

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CALL_SECONDS = 75
# docs/install.md lists them, beside the Secret of this test and an object of every namespace.
KEPT = {"rtppool.rtppool.dev/default", "configmap/rtp-relay-config"}
OWN = {"secret/asterisk-ari", "configmap/kube-root-ca.crt", "serviceaccount/default"}
KINDS = "all,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,rtppools"


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The release of the previous version, with its pool and an Asterisk on every worker."""

    chart: Path
    phones: Phones
    pool: dict[str, Any]


def values(tag: str) -> str:
    return f"image.pullPolicy=Never,image.tag={tag},relay.onStop=HandOver,ari.existingSecret=asterisk-ari"


def helm(kube: Kube, verb: str, chart: Path, tag: str, *words: str) -> str:
    given = ("--namespace", NAMESPACE, "--set", values(tag), "--wait", "--timeout", "240s")
    return kube.helm(verb, RELEASE, str(chart), *given, *words)


def connected(kube: Kube) -> dict[str, Any]:
    wait_for(lambda: has_condition(kube, "AsteriskConnected", "True", "Connected"), "Asterisk is connected", 60)
    return wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready", 60)


def has_range(kube: Kube, start: int, end: int) -> dict[str, Any] | None:
    """Return the pool once it has this range and is Ready. helm does not wait for the operator that applies values."""
    pool = has_condition(kube, "Ready", "True")
    if pool is not None and pool["spec"]["portRange"] != {"start": start, "end": end}:
        raise AssertionError(f"its range is {pool['spec']['portRange']}")
    return pool


@pytest.fixture(scope="module")
def previous(kube: Kube) -> Iterator[Upgrade]:
    """Install the previous version. Remove everything afterwards."""
    tooling = make_tooling()
    try:
        previous_commit()
    except LabError as error:
        pytest.skip(f"not run: {error}")
    try:
        with hold_lock(tooling.places.lock, tooling.steps.say):
            chart = tooling.previous_version()
    except LabError as error:
        pytest.fail(str(error))
    remove_everything(kube)
    kube.kubectl("create", "namespace", NAMESPACE)
    nodes = kube.get("nodes", "--selector", "!node-role.kubernetes.io/control-plane")["items"]
    phones = deploy(kube, min(node["metadata"]["name"] for node in nodes))
    give_relays(kube, phones.user, phones.password)
    helm(kube, "install", chart, previous_images.TAG)
    pool = connected(kube)
    note_previous_operators(kube)
    yield Upgrade(chart, phones, pool)
    remove_everything(kube)


def note_previous_operators(kube: Kube) -> None:
    """Leave the running operators out of the audit, because their version has other rights."""
    selector = "app.kubernetes.io/component=operator"
    pods = kube.get("pods", "--namespace", NAMESPACE, "--selector", selector)["items"]
    kube.audited.previous_pods.update(pod["metadata"]["name"] for pod in pods)


def adopted(kube: Kube, node: str) -> dict[str, Any]:
    call = talking(kube, node)
    if call is None or not call["adopted"]:
        raise AssertionError(f"the relay has {call}")
    return call


def ports_of(kube: Kube) -> set[int]:
    """Return the relays' range by their variables: a relay that hands its calls over declares no ports."""
    relays = kube.get("daemonset", "rtp-pool-relay", "--namespace", NAMESPACE)
    variables = relays["spec"]["template"]["spec"]["containers"][0]["env"]
    (text,) = (each["value"] for each in variables if each["name"] == "PORT_RANGE")
    first, last = map(int, text.split("-"))
    return set(range(first, last + 1))


def left(kube: Kube) -> set[str]:
    names = kube.kubectl("get", KINDS, "--namespace", NAMESPACE, "--ignore-not-found", "--output=name").split()
    return set(names) - OWN


def test_a_release_is_upgraded_under_a_call_rolled_back_changed_and_uninstalled(kube: Kube, previous: Upgrade) -> None:
    uid, node = previous.pool["metadata"]["uid"], previous.phones.node
    with long_call(kube, previous.phones, CALL_SECONDS) as call:
        helm(kube, "upgrade", previous.chart, previous_images.TAG, "--set", f"operator.image.tag={product_images.TAG}")
        connected(kube)
        during = talking(kube, node)
        assert during is not None
        assert during["figures"]["lost"] == 0, f"the operator's upgrade loses no packet: {during}"

        helm(kube, "upgrade", CHART, product_images.TAG)
        wait_for(lambda: adopted(kube, node), "the new relay has the call", 60)
    assert call.record["endedBy"] == "callerGone", call.record
    assert call.record["port"] == call.live["port"], call.record
    print(f"gap of a call over the upgrade: {call.record['gapMilliseconds']} ms")
    assert connected(kube)["metadata"]["uid"] == uid

    kube.helm("rollback", RELEASE, "1", "--namespace", NAMESPACE, "--wait", "--timeout", "240s")
    assert connected(kube)["metadata"]["uid"] == uid
    note_previous_operators(kube)
    images = kube.get("pods", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/name=rtp-pool")["items"]
    running = {each["spec"]["containers"][0]["image"] for each in images if "deletionTimestamp" not in each["metadata"]}
    assert running == {f"rtp-pool/{component}:{previous_images.TAG}" for component in COMPONENTS}

    notes = helm(kube, "upgrade", CHART, product_images.TAG, "--set", "portRange.start=12000,portRange.end=12010")
    assert "a relay on UDP 12000-12010" in " ".join(notes.split())
    assert ports_of(kube) == set(range(12000, 12011))
    pool = wait_for(lambda: has_range(kube, 12000, 12010), "the pool has the new range and is Ready", 60)
    assert connected(kube)["metadata"]["uid"] == uid
    assert pool["status"]["summary"]["range"] == "12000-12010"

    kube.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "180s")
    wait_for(lambda: left(kube) == KEPT or None, f"only {KEPT} are left", 60)
    selector = f"app.kubernetes.io/instance={RELEASE}"
    others = ("clusterroles,clusterrolebindings", "--selector", selector, "--output=name")
    assert kube.kubectl("get", *others).split() == []
    assert kube.kubectl("get", "roles,rolebindings", "--namespace=kube-system", *others[1:]).split() == []
    assert kube.pool()["metadata"]["uid"] == uid
    assert json.loads(kube.kubectl("get", "crd", "rtppools.rtppool.dev", "--output=json"))["spec"]

"""The release under test, in a user's order, once a session: install, wrong credentials of Asterisk, right ones."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import pytest
from kube import CHART, NAMESPACE, PHONES, RELEASE, Kube, has_condition, message, wait_for
from phones import Phones, deploy

from lab.base.places import find_places


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """The pool while there was no Asterisk, and while Asterisk refused the password."""

    phones: Phones
    absent: dict[str, Any]
    refused: dict[str, Any]


def remove_everything(kube: Kube) -> None:
    """Delete the release, its namespace and the phones, and all that an uninstall keeps."""
    kube.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout", "120s")
    kube.kubectl("delete", "namespace", NAMESPACE, PHONES, "--ignore-not-found", "--wait", seconds=180)
    kube.kubectl("delete", "crd", "rtppools.rtppool.dev", "--ignore-not-found", "--wait")
    kube.kubectl("delete", "lease", "rtp-pool-operator", "--namespace", "kube-system", "--ignore-not-found")


@pytest.fixture(scope="session")
def installed(kube: Kube) -> dict[str, Any]:
    """Install the release and return its pool once it is Ready."""
    remove_everything(kube)
    values = find_places(os.environ).root / "values.json"
    kube.transcript.write("A fresh cluster has two workers.\nThe chart installs echo, relay, operator and a pool:")
    words = ["install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace"]
    output = kube.helm(*words, "--values", str(values), "--wait", "--timeout", "180s")
    kube.transcript.show(
        "helm install rtp-pool charts/rtp-pool --namespace rtp-pool --create-namespace "
        "--set image.pullPolicy=Never --wait",
        output,
    )
    pool = wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready", 60)
    wait_for(lambda: kube.pool()["status"].get("latency", {}).get("probe"), "the probe's latency is reported", 30)
    kube.transcript.write("The pool is ready by the probe, before any Asterisk is connected:")
    kube.show("kubectl get rtppools -n rtp-pool -o wide", "get", "rtppools", "-n", NAMESPACE, "-o", "wide")
    kube.show("kubectl get pods -n rtp-pool -o wide", "get", "pods", "-n", NAMESPACE, "-o", "wide")
    assert pool["metadata"]["name"] == "default"
    return kube.pool()


@pytest.fixture(scope="session")
def misconfigured(kube: Kube, installed: dict[str, Any]) -> Misconfigured:
    """Give relays credentials before Asterisk exists, then deploy an Asterisk that refuses the password."""
    del installed
    give_relays(kube, "relay", "not the password")
    words = ["upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, "--reset-then-reuse-values"]
    kube.helm(*words, "--set", "ari.existingSecret=asterisk-ari", "--wait", "--timeout", "180s")
    kube.transcript.write("A Secret holds the credentials for Asterisk, and a value of the chart names it:")
    kube.transcript.show(
        "helm upgrade rtp-pool charts/rtp-pool -n rtp-pool --reset-then-reuse-values "
        "--set ari.existingSecret=asterisk-ari --wait | head -n 1",
        f'Release "{RELEASE}" has been upgraded. Happy Helming!',
    )
    absent = wait_for(lambda: _reported_by_both(kube, "Unreachable", "can't be connected"), "no Asterisk", 60)
    phones = deploy(kube, min(kube.relay_pods()))
    refused = wait_for(lambda: _reported_by_both(kube, "Unauthorized", "is refused"), "a refusal", 60)
    return Misconfigured(phones, absent, refused)


@pytest.fixture(scope="session")
def phones(kube: Kube, misconfigured: Misconfigured) -> Phones:
    """Give relays the right password of the Asterisk on both workers."""
    ready = misconfigured.phones
    kube.transcript.write("The pool reports a wrong password in the Secret, and still measures with the probe:")
    path = '{.status.conditions[?(@.type=="AsteriskConnected")].message}'
    words = ["get", "rtppool", "default", "-n", NAMESPACE, "-o", f"jsonpath={path}"]
    kube.show(f"kubectl get rtppool default -n rtp-pool -o jsonpath='{path}'", *words)
    give_relays(kube, ready.user, ready.password)
    kube.transcript.write(
        "The Secret gets the right password, and a rollout makes the relays read it (each waits for its calls to end):"
    )
    kube.transcript.show(
        "kubectl create secret generic asterisk-ari -n rtp-pool --from-literal=username=relay "
        '--from-literal=password="$ARI_PASSWORD" --dry-run=client -o yaml | kubectl apply -f -',
        "secret/asterisk-ari configured",
    )
    restart = ["rollout", "restart", "daemonset/rtp-pool-relay", "--namespace", NAMESPACE]
    kube.show("kubectl rollout restart daemonset/rtp-pool-relay -n rtp-pool", *restart)
    rollout = ["rollout", "status", "daemonset/rtp-pool-relay", "--namespace", NAMESPACE, "--timeout", "120s"]
    kube.kubectl(*rollout, seconds=130)
    wait_for(lambda: has_condition(kube, "AsteriskConnected", "True", "Connected"), "Asterisk is connected", 60)
    wait_for(lambda: has_condition(kube, "Ready", "True"), "the pool is Ready", 60)
    return ready


def _reported_by_both(kube: Kube, reason: str, sentence: str) -> dict[str, Any] | None:
    pool = has_condition(kube, "AsteriskConnected", "False", reason)
    text = message(pool, "AsteriskConnected") if pool is not None else ""
    if "0 of 2" not in text or sentence not in text:
        raise AssertionError(f"the message is {text}")
    return pool


def give_relays(kube: Kube, user: str, password: str) -> None:
    """Write the credentials to the Secret of the chart's value `ari.existingSecret`."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "asterisk-ari", "namespace": NAMESPACE},
        "stringData": {"username": user, "password": password},
    }
    kube.kubectl("apply", "--filename", "-", input_text=json.dumps(secret))

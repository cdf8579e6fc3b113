"""Debian's Prometheus in a pod, with the configuration that rendered PodMonitors give, and a client of its API.

The pod has the image of the SIP caller, because no image of Prometheus can be pulled. The program is copied into it.
Debian builds Prometheus without the discovery of Kubernetes, so `lab.monitoring.discovery` lists the pods.
"""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kube import NAMESPACE, Kube, wait_for

from lab.cluster.images.phone_images import SIPP
from lab.monitoring.discovery import targets_of
from lab.monitoring.prometheus import Prometheus
from lab.monitoring.scrape_configs import scrape_configs

MONITORING = "monitoring"
PORT = 9090
COPY_SECONDS = 120
GLOBAL = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"}
FOLDER = "/etc/prometheus"
START = (
    "until [ -e /data/copied ]; do sleep 0.2; done; exec /data/prometheus "
    f"--config.file={FOLDER}/prometheus.yml --storage.tsdb.path=/data/tsdb --web.listen-address=:{PORT}"
)


class ReadSecrets:
    """Keys of Secrets that a configuration names, as files of the pod."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.files: dict[str, str] = {}

    def file(self, namespace: str, name: str, key: str) -> str:
        """Read a key from the cluster, and return the path of its file."""
        held = self._kube.get("secret", name, "--namespace", namespace)["data"][key]
        file = f"{namespace}.{name}.{key}"
        self.files[file] = base64.b64decode(held).decode()
        return f"{FOLDER}/{file}"


class ReadPods:
    """Pods of the cluster, as files of the pod. They must not change while Prometheus runs."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.files: dict[str, str] = {}

    def discovery(self, namespaces: list[str]) -> dict[str, Any]:
        """Return the discovery of the running pods of these namespaces."""
        names = [f"pods-{namespace}.json" for namespace in namespaces]
        for namespace, name in zip(namespaces, names, strict=True):
            items = self._kube.get("pods", "--namespace", namespace)["items"]
            self.files[name] = json.dumps(targets_of(items))
        return {"file_sd_configs": [{"files": [f"{FOLDER}/{name}" for name in names]}]}


def configuration(kube: Kube, job: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of a Prometheus that reads the cluster's PodMonitors and rules.

    It also has `job` of the page, of which it keeps `up` alone.
    """
    secrets, pods = ReadSecrets(kube), ReadPods(kube)
    monitors = kube.get("podmonitors", "--namespace", NAMESPACE)["items"]
    (rules,) = kube.get("prometheusrules", "--namespace", NAMESPACE)["items"]
    credentials = secrets.file(NAMESPACE, "rtp-pool-http-token", "token")
    up_only = {"source_labels": ["__name__"], "regex": "rtp_.*", "action": "drop"}
    page_job = {
        **{key: held for key, held in job.items() if key != "kubernetes_sd_configs"},
        **pods.discovery([NAMESPACE]),
        "authorization": {"credentials_file": credentials},
        "metric_relabel_configs": [up_only],
    }
    config = {
        "global": GLOBAL,
        "rule_files": [f"{FOLDER}/rules.yml"],
        "scrape_configs": [*scrape_configs(monitors, secrets.file, pods.discovery), page_job],
    }
    return {
        "prometheus.yml": yaml.safe_dump(config),
        "rules.yml": yaml.safe_dump({"groups": [_without_patience(group) for group in rules["spec"]["groups"]]}),
        **secrets.files,
        **pods.files,
    }


def _without_patience(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group whose alerts wait one evaluation only. `promtool test rules` holds the durations."""
    rules = [{**rule, "for": "2s"} if "for" in rule else rule for rule in group["rules"]]
    return {"name": group["name"], "rules": rules}


def deploy(kube: Kube, program: Path, files: Mapping[str, str]) -> None:
    """Deploy Prometheus with these files, and return when it is ready."""
    kube.kubectl(
        "apply",
        "--server-side",  # the list of pods is too long for the annotation of another apply
        "--filename",
        "-",
        input_text=json.dumps(
            {
                "apiVersion": "v1",
                "kind": "List",
                "items": [
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MONITORING}},
                    _object("v1", "Secret", "prometheus", stringData=dict(files)),
                    _object("v1", "Pod", "prometheus", spec=_pod()),
                ],
            }
        ),
    )
    ready = ["wait", "pod/prometheus", "--namespace", MONITORING, "--for=condition=Ready", "--timeout", "60s"]
    wait_for(lambda: kube.kubectl(*ready, seconds=70), "the pod of Prometheus runs", 60)
    copy = "cat >/data/prometheus && chmod +x /data/prometheus && touch /data/copied"
    words = ["exec", "--stdin", "--namespace", MONITORING, "prometheus", "--", "sh", "-c", copy]
    with program.open("rb") as source:
        command = [kube.kubectl_path, *kube.kubectl_arguments, *words]
        subprocess.run(command, stdin=source, check=True, capture_output=True, timeout=COPY_SECONDS)


@contextmanager
def api_proxy(kube: Kube, port: int) -> Iterator[str]:
    """Run `kubectl proxy` on loopback; yield its URL. A query costs no process of its own then."""
    command = [kube.kubectl_path, *kube.kubectl_arguments, "proxy", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def read(url: str) -> str:
    """Return the body of a page.

    Raises:
        AssertionError: the page can't be read.
    """
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 of kubectl on loopback
            return str(answer.read().decode())
    except OSError as error:
        raise AssertionError(f"{url}: {error}") from error


def pod_url(proxy: str, namespace: str, pod: str, port: int) -> str:
    """Return the URL of a pod's port through the API server."""
    return f"{proxy}/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy"


def client(proxy: str) -> Prometheus:
    """Return a client of the deployed Prometheus."""
    return Prometheus(lambda path: read(pod_url(proxy, MONITORING, "prometheus", PORT) + path))


def _object(version: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": MONITORING}, **more}


def _pod() -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "prometheus",
                "image": SIPP,
                "imagePullPolicy": "Never",
                "command": ["sh", "-c", START],
                "volumeMounts": [
                    {"name": "files", "mountPath": FOLDER, "readOnly": True},
                    {"name": "data", "mountPath": "/data"},
                ],
            }
        ],
        "volumes": [
            {"name": "files", "secret": {"secretName": "prometheus"}},
            {"name": "data", "emptyDir": {}},
        ],
    }

"""The cluster under test: kubectl, helm, and polling with a deadline."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
NAMESPACE = "rtp-pool"
PHONES = "phones"
RELEASE = "rtp-pool"
REPOSITORY = Path(__file__).resolve().parent.parent.parent
CHART = REPOSITORY / "charts/rtp-pool"
POLL_SECONDS = 0.5


@dataclass(slots=True)
class Transcript:
    """Commands of a user and their output, for docs/transcript.md."""

    parts: list[str] = field(default_factory=list)

    def write(self, text: str) -> None:
        """Add a sentence between commands."""
        self.parts.append(f"{text}\n")

    def show(self, command: str, output: str) -> None:
        """Add a command and its output."""
        self.parts.append(f"```console\n$ {command}\n{output.rstrip()}\n```\n")


@dataclass(slots=True)
class AuditedRun:
    """The requests that count for this run: those since its begin, but for those of a previous version's pods."""

    since_unix_seconds: float = field(default_factory=time.time)
    previous_pods: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Kube:
    """kubectl and helm on one cluster, named on every call."""

    kubectl_path: str
    helm_path: str
    kubectl_arguments: tuple[str, ...]
    helm_arguments: tuple[str, ...]
    transcript: Transcript
    audited: AuditedRun = field(default_factory=AuditedRun)

    def kubectl(self, *words: str, input_text: str | None = None, seconds: float = 60) -> str:
        """Run kubectl and return its output. A failure shows stdout and stderr."""
        return _run([self.kubectl_path, *self.kubectl_arguments, *words], input_text, seconds)

    def helm(self, *words: str, seconds: float = 300) -> str:
        """Run helm and return its output."""
        return _run([self.helm_path, *self.helm_arguments, *words], None, seconds)

    def refusal(self, *words: str, input_text: str | None = None) -> str:
        """Return stderr of a kubectl command that the API server must reject."""
        command = [self.kubectl_path, *self.kubectl_arguments, *words]
        answer = subprocess.run(command, input=input_text, capture_output=True, text=True, timeout=60, check=False)
        if answer.returncode == 0:
            raise AssertionError(f"not rejected: {' '.join(words)}\n{answer.stdout}")
        return answer.stderr

    def get(self, *words: str) -> Any:
        """Return the JSON of `kubectl get`."""
        return json.loads(self.kubectl("get", *words, "--output=json"))

    def raw(self, *words: str) -> bytes:
        """Return kubectl's output as bytes."""
        command = [self.kubectl_path, *self.kubectl_arguments, *words]
        return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout

    def pool(self, name: str = "default", namespace: str = NAMESPACE) -> dict[str, Any]:
        """Return a pool."""
        return dict(self.get("rtppool", name, "--namespace", namespace))

    def relay_pods(self) -> dict[str, str]:
        """Return the names of running relay pods by node."""
        selector = "app.kubernetes.io/component=relay"
        pods = self.get("pods", "--namespace", NAMESPACE, "--selector", selector)["items"]
        return {
            pod["spec"]["nodeName"]: pod["metadata"]["name"]
            for pod in pods
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        }

    def relay_http(self, node: str, path: str) -> str:
        """Return a document of the relay on `node`, requested inside its pod with its token."""
        code = (
            "import os, urllib.request as u; t = open(os.environ['HTTP_TOKEN_FILE']).read().strip(); "
            f"r = u.Request('http://localhost:' + os.environ['HTTP_PORT'] + '{path}', "
            "headers={'Authorization': 'Bearer ' + t}); print(u.urlopen(r, timeout=5).read().decode())"
        )
        pod = self.relay_pods()[node]
        return self.kubectl("exec", "--namespace", NAMESPACE, pod, "--", "/opt/venv/bin/python", "-c", code)

    def relay_json(self, node: str, path: str) -> dict[str, Any]:
        """Return a JSON document of the relay on `node`."""
        return dict(json.loads(self.relay_http(node, path)))

    def show(self, shown: str, *words: str) -> str:
        """Run kubectl and add it to the transcript as the command `shown`."""
        output = self.kubectl(*words)
        self.transcript.show(shown, output)
        return output


def wait_for(probe: Callable[[], T | None], expected: str, seconds: float) -> T:
    """Poll `probe` and return its first result that is not None. A probe that fails is repeated.

    Raises:
        AssertionError: the deadline passed; the message has the last failure.
    """
    deadline = time.monotonic() + seconds
    last = "it was never seen"
    while True:
        try:
            found = probe()
        except (AssertionError, KeyError, subprocess.SubprocessError, json.JSONDecodeError) as error:
            found, last = None, str(error)
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {expected}; {last}")
        time.sleep(POLL_SECONDS)


def conditions(pool: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition by type."""
    entries = pool.get("status", {}).get("conditions", [])
    return {each["type"]: (each["status"], each["reason"]) for each in entries}


def message(pool: dict[str, Any], kind: str) -> str:
    """Return the message of a condition."""
    return next(str(each["message"]) for each in pool["status"]["conditions"] if each["type"] == kind)


def has_condition(
    kube: Kube,
    kind: str,
    status: str,
    reason: str | None = None,
    name: str = "default",
    namespace: str = NAMESPACE,
) -> dict[str, Any] | None:
    """Return the pool once the condition has this status and reason for the current generation.

    Raises:
        AssertionError: it does not, yet.
    """
    pool = kube.pool(name, namespace)
    found = conditions(pool).get(kind)
    current = pool.get("status", {}).get("observedGeneration") == pool["metadata"]["generation"]
    if found is None or not current or found[0] != status or (reason is not None and found[1] != reason):
        raise AssertionError(f"{kind} is {found}, observed {pool.get('status', {}).get('observedGeneration')}")
    return pool


def _run(command: list[str], input_text: str | None, seconds: float) -> str:
    answer = subprocess.run(command, input=input_text, capture_output=True, text=True, timeout=seconds, check=False)
    if answer.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\nended with {answer.returncode}:\n{answer.stdout}{answer.stderr}")
    return answer.stdout

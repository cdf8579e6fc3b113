"""README.md and the pages of an installation followed by a script in a fresh clone: each command as it is there.

tests/docs/page_commands.py finds the commands, and has the few that are not run, with reasons.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trustme
import yaml
from kube import NAMESPACE, REPOSITORY, Kube, wait_for
from page_commands import IN_BACKGROUND, PAGES, TROUBLESHOOTING, inline_commands, to_run
from release import remove_everything
from test_upgrade_from_the_previous_version import KEPT, left

from lab.base.turns import hold_machine
from lab.cluster.images.product_images import COMPONENTS, image_of
from lab.cluster.kind.guard import kind_cluster_of
from lab.cluster.kind.node_loading import CTR, full_name, roles_of, worker_nodes
from lab.cluster.tooling import make_tooling
from rtppool_testing.certificates import write_secret

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ON_THIS_MACHINE = ("make ", ".venv/")
# It serves the page of the picture until Ctrl-C.
UNTIL_CTRL_C = "make run"
REPORT_PAGE = "http://127.0.0.1:9090/sla"
# The load test's exit code follows the SLA, and this machine may be too busy for it.
LOAD_TEST = ".venv/bin/python -m rtppool_callgen load "
LOAD_TEST_CODES = {0, 1}
RELEASE = "rtp"
TLS_NAME = "rtp.rtp-pool.svc"
# Beside the Secret asterisk-ari, which the page makes as well. The page lists them.
LEFT = KEPT | {"secret/rtp-tls", "pod/rtp-test"}
SETUP_OUTPUT = "setup.txt"
LOCAL_SECONDS, CLUSTER_SECONDS = 300, 240


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone of the last commit."""
    folder = tmp_path_factory.mktemp("fresh") / "rtp-pool"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{REPOSITORY}", str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def setup(clone: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start to install the packages of the clone, the first step of each command of make.

    It takes a minute of processor time, which the commands on the cluster leave, because they mostly wait.
    """
    with (
        (clone.parent / SETUP_OUTPUT).open("wb") as output,
        subprocess.Popen(["make", "setup"], cwd=clone, env=environment(), stdout=output, stderr=output) as running,
    ):
        yield running
        running.terminate()


def environment(*programs: Path) -> dict[str, str]:
    """Return the environment of a user's shell, without this run's .venv."""
    foreign = {"VIRTUAL_ENV", "PYTHONPATH"}
    kept = [folder for folder in os.environ["PATH"].split(":") if not folder.startswith(str(REPOSITORY))]
    path = ":".join([*map(str, programs), *kept])
    return {name: value for name, value in os.environ.items() if name not in foreign} | {"PATH": path}


def runs_on_this_machine(command: str) -> bool:
    return command.startswith(ON_THIS_MACHINE)


def run(command: str, folder: Path, variables: Mapping[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def run_until_ctrl_c(command: str, folder: Path) -> str:
    """Run a command in the foreground of a session of its own, as a terminal does, and return its output."""
    output = folder.parent / "output.txt"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            ["bash", "-c", command], cwd=folder, env=environment(), stdout=file, start_new_session=True
        ) as running,
    ):
        try:
            page = wait_for(lambda: report_page(running), f"{REPORT_PAGE} shows calls", LOCAL_SECONDS)
        finally:
            os.killpg(running.pid, signal.SIGINT)
            running.wait(60)
    assert page.startswith("<!DOCTYPE html>")
    return output.read_text()


def report_page(running: subprocess.Popen[bytes]) -> str | None:
    """Return the page once its window has packets of calls."""
    if running.poll() is not None:
        pytest.fail("it ended by itself")
    request = urllib.request.Request(REPORT_PAGE, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 our own relay
            page = str(answer.read().decode())
    except OSError:
        return None
    return page if re.search(r"[1-9][0-9,]* packets of calls", page) else None


@pytest.fixture
def shell(kube: Kube, tmp_path: Path) -> Mapping[str, str]:
    """Return the environment of a shell whose helm and kubectl use the cluster under test."""
    programs = {"helm": (kube.helm_path, kube.helm_arguments), "kubectl": (kube.kubectl_path, kube.kubectl_arguments)}
    for name, (path, arguments) in programs.items():
        wrapper = tmp_path / name
        wrapper.write_text(f'#!/bin/sh\nexec {path} {" ".join(arguments)} "$@"\n')
        wrapper.chmod(0o755)
    return environment(tmp_path)


@pytest.fixture
def registry(clone: Path) -> Iterator[None]:
    """Give the nodes the images by the names of the page, as if they had pulled them from its registry."""
    version = yaml.safe_load((clone / "charts/rtp-pool/Chart.yaml").read_text())["appVersion"]
    (name,) = set(re.findall(r"image\.registry=(\S+)", (clone / "README.md").read_text()))
    images = {full_name(image_of(each)): f"{name}/rtp-pool/{each}:{version}" for each in COMPONENTS}
    cluster = kind_cluster_of(make_tooling().target)
    assert cluster is not None, "KUBE_CONTEXT names a cluster without nodes in this machine's engine"
    nodes = worker_nodes(roles_of(cluster))
    for node in nodes:
        for image, named in images.items():
            subprocess.run(["docker", "exec", node, *CTR, "tag", "--force", image, named], check=True)
    yield
    for node in nodes:
        subprocess.run(["docker", "exec", node, *CTR, "rm", *images.values()], check=True)


@pytest.fixture
def empty(kube: Kube) -> Iterator[None]:
    remove_everything(kube)
    yield
    kube.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait", "--timeout", "120s")
    remove_everything(kube)


@pytest.mark.usefixtures("setup", "registry", "empty")
def test_its_commands_and_those_of_the_installation_run_on_the_cluster(
    kube: Kube, clone: Path, shell: Mapping[str, str]
) -> None:
    write_secret(trustme.CA(), TLS_NAME, clone)
    done: dict[str, None] = {}

    def follow(command: str) -> None:
        if command.startswith("helm uninstall"):
            for diagnosis in diagnoses(clone):
                follow(diagnosis)
        if command not in done:
            ended = f"{command}\nkill $!" if IN_BACKGROUND.search(command) else command
            answer = run(ended, clone, shell, CLUSTER_SECONDS)
            assert answer.returncode == 0, f"{command}\n{answer.stdout}{answer.stderr}"
            done[command] = None
        if command.startswith("helm uninstall"):
            wait_for(lambda: left(kube) == LEFT or None, f"only {LEFT} are left", 60)

    for page in PAGES:
        for command in to_run((clone / page).read_text()):
            if not runs_on_this_machine(command):
                follow(command)
    verbs = {command.split()[1] for command in done if command.startswith("helm ")}
    assert verbs == {"install", "show", "test", "upgrade", "rollback", "uninstall"}
    everything = kube.kubectl("get", "crd,namespace,lease", "--namespace=kube-system", "--output=name")
    assert "rtp" not in everything


def diagnoses(clone: Path) -> list[str]:
    """Return the commands in the tables of troubleshooting that name objects of this release."""
    found = inline_commands((clone / TROUBLESHOOTING).read_text())
    named = [command for command in found if " --" in command and not re.search(r"\bNAME\b", command)]
    return [command for command in named if not runs_on_this_machine(command)]


def test_its_commands_run_on_this_machine(clone: Path, setup: subprocess.Popen[bytes]) -> None:
    assert setup.wait(LOCAL_SECONDS) == 0, (clone.parent / SETUP_OUTPUT).read_text()
    text = (clone / "README.md").read_text()
    assert REPORT_PAGE in text
    local = [command for command in to_run(text) if runs_on_this_machine(command)]
    assert local[0] == UNTIL_CTRL_C
    with hold_machine():
        output = run_until_ctrl_c(local.pop(0), clone)
        assert "20 calls are placed" in output
        for command in local:
            done = run(command, clone, environment(), LOCAL_SECONDS)
            accepted = LOAD_TEST_CODES if command.startswith(LOAD_TEST) else {0}
            assert done.returncode in accepted, f"{command}\n{done.stdout}{done.stderr}"
    report = json.loads((clone / "build/load/report.json").read_text())
    assert report["verdict"]["result"] in {"Met", "Violated"}, report["verdict"]
    assert report["calls"]["completed"] == report["calls"]["planned"] > 0

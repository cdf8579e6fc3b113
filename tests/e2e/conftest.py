"""Tests on the cluster of `make up`. They are collected with --e2e only."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kube import NAMESPACE, PHONES, Kube, Transcript
from release import installed, misconfigured, phones

from lab.base.errors import LabError
from lab.base.services import compile_ahead
from lab.base.turns import hold_machine
from lab.cluster.tooling import make_tooling
from lab.faults.calls.rig.rooted import PhoneRoots, prepare_phones

# Fixtures are found by their names here.
__all__ = ["installed", "misconfigured", "phones"]
HERE = Path(__file__).parent
# These remove the release that the other modules share, and the audit judges the requests of all modules.
AT_THE_END = (
    "test_syncs_of_argo_cd.py",
    "test_the_readme_is_followed.py",
    "test_upgrade_from_the_previous_version.py",
    "test_audit_of_the_run.py",
)
TITLE = """# A session with kubectl

`make e2e` writes this page.
Times and addresses are those of the last published run.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --e2e and --transcript."""
    parser.addoption("--e2e", action="store_true", help="also run the tests on the cluster of `make up`")
    parser.addoption("--transcript", default="build/transcript.md", help="file for the transcript of a user's session")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests/e2e/test_*.py without --e2e."""
    on_cluster = collection_path.parent == HERE and collection_path.name.startswith("test_")
    return True if on_cluster and not config.getoption("--e2e") else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the modules of the end there, in their order. All other tests keep their places."""
    places = {HERE / name: place for place, name in enumerate(AT_THE_END)}
    items.sort(key=lambda item: places.get(item.path, -1))


@pytest.fixture(scope="session")
def kube(request: pytest.FixtureRequest) -> Iterator[Kube]:
    """Yield the cluster that `make up` made, or the one that KUBE_CONTEXT names."""
    tooling = make_tooling()
    try:
        tooling.cluster().check_may_touch()
        kubectl, helm = tooling.programs.path("kubectl"), tooling.programs.path("helm")
    except LabError as error:
        pytest.exit(f"{error}. make up makes the cluster.", returncode=3)
    cluster = Kube(
        str(kubectl),
        str(helm),
        tuple(tooling.target.kubectl_arguments()),
        tuple(tooling.target.helm_arguments()),
        Transcript(),
    )
    request.config.stash[_KUBE] = cluster
    yield cluster
    if cluster.transcript.parts:
        place = Path(request.config.getoption("--transcript"))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("\n".join([TITLE, *cluster.transcript.parts]))


@pytest.fixture(scope="module")
def roots() -> Iterator[PhoneRoots]:
    """Yield Asterisk and SIPp while this run holds the rig's ports."""
    with hold_machine():
        compile_ahead()
        yield prepare_phones()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder whose path is short enough for Unix sockets, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="rtp-pool-chaos-") as name:
        yield Path(name)


_KUBE = pytest.StashKey[Kube]()
_DIAGNOSES = (
    ("get", "rtppools", "--all-namespaces", "--output=yaml"),
    ("get", "pods", "--all-namespaces", "--output=wide"),
    ("get", "events", "--namespace", NAMESPACE, "--sort-by=.lastTimestamp"),
    ("logs", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/component=operator", "--tail=60"),
    ("logs", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/component=relay", "--tail=60", "--prefix"),
    ("logs", "--namespace", PHONES, "--selector", "app=asterisk", "--tail=60", "--prefix"),
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add the cluster's state to the first failure."""
    report = yield
    cluster = item.config.stash.get(_KUBE, None)
    if report.failed and cluster is not None:
        del item.config.stash[_KUBE]
        for words in _DIAGNOSES:
            report.sections.append((f"kubectl {' '.join(words)}", _diagnose(cluster, words)))
    return report


def _diagnose(cluster: Kube, words: tuple[str, ...]) -> str:
    try:
        return cluster.kubectl(*words)
    except AssertionError as error:
        return str(error)

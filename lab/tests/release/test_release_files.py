"""Chart, manifests and wheels of a release: the same bytes in every run, and of use as they are."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.base.errors import LabError
from lab.base.places import REPOSITORY
from lab.base.steps import Steps
from lab.release import checksums
from lab.release.command_line import compare, main, parser, read_checksums, refuse_foreign
from lab.release.commit import CHART, MEMBERS, Commit, version_of
from lab.release.files import Files

SECONDS = 1_772_593_567
REVISION = "0" * 40
VERSION = version_of(REPOSITORY)


@pytest.fixture(scope="session")
def helm() -> Path:
    """Return Helm 4."""
    given = os.environ.get("HELM4") or shutil.which("helm4")
    if given is None:
        pytest.skip("not run: no Helm 4; make test fetches it")
    return Path(given)


def tree_in(folder: Path) -> Path:
    """Copy the parts that a release is made of, without files that setup left among them."""
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "tests")
    for part in (CHART, *MEMBERS):
        keep_tests = None if part == CHART else left_out
        shutil.copytree(REPOSITORY / part, folder / part, ignore=keep_tests)
    return folder


def files_of(folder: Path, helm: Path, registry: str = "") -> Files:
    commit = Commit(REPOSITORY, REVISION, SECONDS)
    return Files(commit, tree_in(folder / "tree"), VERSION, registry, helm, Steps(folder / "logs"))


def made_in(folder: Path, helm: Path) -> Path:
    output = folder / "dist"
    output.mkdir(parents=True)
    files_of(folder, helm).write(output)
    checksums.write(output)
    return output


@pytest.fixture(scope="module")
def dist(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_in(tmp_path_factory.mktemp("one"), helm)


def objects(file: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


@pytest.mark.timeout(180)
def test_another_run_in_another_place_and_time_zone_has_the_same_digests(
    dist: Path, helm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    before = os.umask(0o077)
    try:
        other = made_in(tmp_path / "a longer path", helm)
    finally:
        os.umask(before)
    assert compare(other, read_checksums(dist / checksums.FILE)) == 0, capsys.readouterr().out
    assert len(checksums.parse((other / checksums.FILE).read_text())) == 3 + len(MEMBERS)


def test_the_checksums_are_those_of_sha256sum(dist: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", checksums.FILE], cwd=dist, check=True)


def test_the_chart_has_its_readme_and_the_time_of_the_commit(dist: Path, helm: Path) -> None:
    package = dist / f"rtp-pool-{VERSION}.tgz"
    with tarfile.open(package) as packed:
        assert {member.mtime for member in packed.getmembers()} == {SECONDS}
    shown = subprocess.run([helm, "show", "readme", package], capture_output=True, text=True, check=True).stdout
    assert "| `portRange.start` | `10000` |" in shown


def test_the_manifests_are_the_chart_with_its_defaults(dist: Path) -> None:
    found = objects(dist / f"rtp-pool-{VERSION}.yaml")
    kinds = {"CustomResourceDefinition", "DaemonSet", "Deployment", "ServiceAccount", "ClusterRole", "Role"}
    assert kinds < {each["kind"] for each in found}
    assert not {"Job", "Pod", "Secret"} & {each["kind"] for each in found}, "hooks and secrets have no place here"
    images = {
        container["image"]
        for each in found
        if each["kind"] in {"DaemonSet", "Deployment"}
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"registry.example.com/voice/rtp-pool/{name}:{VERSION}" for name in ("echo", "relay", "operator")}


def test_the_definition_stands_alone_for_an_administrator(dist: Path) -> None:
    assert [each["kind"] for each in objects(dist / f"rtp-pool-{VERSION}-crd.yaml")] == ["CustomResourceDefinition"]


def test_each_package_has_a_wheel_with_the_time_of_the_commit(dist: Path) -> None:
    wheels = sorted(dist.glob("*.whl"))
    assert len(wheels) == len(MEMBERS)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            assert packed.testzip() is None
            assert {member.date_time for member in packed.infolist()} == {(2026, 3, 4, 3, 6, 6)}


def test_a_registry_is_the_default_of_chart_and_manifests(helm: Path, tmp_path: Path) -> None:
    files = files_of(tmp_path, helm, "registry.example.org:5000/sip")
    files.write_chart(tmp_path)
    files.write_manifests(tmp_path)
    package = tmp_path / f"rtp-pool-{VERSION}.tgz"
    words = ("template", "rtp", package, "--set", "httpToken.enabled=false")
    rendered = subprocess.run([helm, *words], capture_output=True, text=True, check=True).stdout
    assert f"registry.example.org:5000/sip/rtp-pool/relay:{VERSION}" in rendered
    with tarfile.open(package) as packed:
        facts = yaml.safe_load(packed.extractfile("rtp-pool/Chart.yaml") or b"")
    listed = yaml.safe_load(facts["annotations"]["artifacthub.io/images"])
    assert {each["image"] for each in listed} == {
        f"registry.example.org:5000/sip/rtp-pool/{name}:{VERSION}" for name in ("echo", "relay", "operator")
    }
    manifests = (tmp_path / f"rtp-pool-{VERSION}.yaml").read_text()
    assert "registry.example.com" not in manifests
    assert f"# Then, and for an upgrade:\n#   kubectl apply --filename rtp-pool-{VERSION}.yaml\n" in manifests


@pytest.mark.parametrize("text", ["", "release: 0.1.0\n", "abc  rtp-pool-0.1.0.tgz\n"])
def test_a_comparison_without_checksums_is_refused_before_anything_is_made(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "SUMS").write_text(text)
    words = ["--no-images", "--output", str(tmp_path / "dist"), "--compare"]
    assert main([*words, str(tmp_path / "SUMS")]) == 2
    assert main([*words, str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert "has no checksums; accepted is a SHA256SUMS" in error
    assert "can't be read" in error
    assert not (tmp_path / "dist").exists()


def test_a_file_that_differs_is_named_and_an_image_is_not_compared() -> None:
    one, other = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    made = {"a.whl": one, "b.whl": one, "i.tar": one}
    published = {"a.whl": other, "c.whl": one, "i.tar": other, "j.cdx.json": one}
    assert checksums.differences(made, published) == [
        f"a.whl: {one} here, {other} published",
        "b.whl: was made here and is not published",
        "c.whl: is published and was not made here",
    ]


@pytest.mark.parametrize("registry", ["https://registry.example.com", "registry.example.com/", "A/b", "a/b:tag", ""])
def test_a_registry_that_no_image_can_have_is_refused(registry: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--registry", registry])
    assert "accepted is a host and a path" in capsys.readouterr().err


def test_a_folder_with_other_files_is_not_emptied(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "new")
    refuse_foreign(tmp_path)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(LabError, match="other files than a release"):
        refuse_foreign(tmp_path)
    (tmp_path / checksums.FILE).touch()
    refuse_foreign(tmp_path)

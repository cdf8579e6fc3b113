"""The reference programs: compiled when a bench begins, from the sources in `lab/bench/reference`."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import REFERENCE

C_PROGRAMS = ("relay", "echo", "load", "saturate", "reflector", "flood")
GO_PROGRAM = "relay"


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of the compiled programs. `go_relay` None: no Go on this machine."""

    relay: Path
    echo: Path
    load: Path
    saturate: Path
    reflector: Path
    flood: Path
    go_relay: Path | None


def compile_all(folder: Path, *, with_go: bool = True) -> Programs:
    """Compile into `folder`.

    Raises:
        LabError: no C compiler, or a source that it refuses.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise LabError("no C compiler (cc); install one, for example: apt-get install gcc libc6-dev")
    built = {name: _compile([compiler, "-O2", "-o"], folder / name, REFERENCE / f"{name}.c") for name in C_PROGRAMS}
    go = shutil.which("go") if with_go else None
    go_relay = None
    if go is not None:
        go_relay = _compile([go, "build", "-o"], folder / "relay-go", REFERENCE / f"{GO_PROGRAM}.go")
    return Programs(**built, go_relay=go_relay)


def _compile(command: list[str], program: Path, source: Path) -> Path:
    # The reflector draws from a distribution that needs libm; Go takes no such flag.
    libraries = ["-lm"] if source.suffix == ".c" else []
    environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    done = subprocess.run(
        [*command, str(program), str(source), *libraries], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{source.name} does not compile:\n{done.stderr.strip()}")
    return program

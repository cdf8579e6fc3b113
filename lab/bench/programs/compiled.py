"""The reference programs, compiled at the start of a bench."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.base.compiler import compile_c, run_compiler
from lab.base.places import REFERENCE

C_PROGRAMS = ("relay", "echo", "load", "saturate", "reflector", "flood", "disturb", "beat")
LIBRARY = "slow_send"
GO_PROGRAM = "relay"


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of the compiled programs. `slow_send` is a library. `go_relay` is None on a machine without Go."""

    relay: Path
    echo: Path
    load: Path
    saturate: Path
    reflector: Path
    flood: Path
    disturb: Path
    beat: Path
    slow_send: Path
    go_relay: Path | None


def compile_all(folder: Path, *, with_go: bool = True) -> Programs:
    """Compile all programs into `folder`.

    Raises:
        LabError: no C compiler, or a compiler refuses a source.
    """
    built = {name: compile_c(name, folder) for name in C_PROGRAMS}
    built[LIBRARY] = compile_c(LIBRARY, folder, ["-shared", "-fPIC"])
    go = shutil.which("go") if with_go else None
    go_relay = None
    if go is not None:
        go_relay = run_compiler([go, "build"], folder / "relay-go", REFERENCE / f"{GO_PROGRAM}.go")
    return Programs(**built, go_relay=go_relay)

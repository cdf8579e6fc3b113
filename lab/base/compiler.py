"""The machine's C compiler on the reference programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import REFERENCE


def compile_c(name: str, folder: Path, options: Sequence[str] = ()) -> Path:
    """Compile `name`.c into `folder` and return the program, or the library that the options ask for.

    Raises:
        LabError: no C compiler, or it refuses the source.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise LabError("no C compiler (cc); install one, for example: apt-get install gcc libc6-dev")
    # The reflector draws from a distribution that needs libm, and the disturber has threads.
    return run_compiler([compiler, "-O2", *options], folder / name, REFERENCE / f"{name}.c", ["-lm", "-pthread"])


def run_compiler(command: Sequence[str], program: Path, source: Path, libraries: Sequence[str] = ()) -> Path:
    """Run a compiler with the arguments `-o program source`, and return the program.

    Raises:
        LabError: it refuses the source.
    """
    done = subprocess.run(
        [*command, "-o", str(program), str(source), *libraries],
        env={**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"{source.name} does not compile:\n{done.stderr.strip()}")
    return program

"""Packages of relay and echo as images have them: with machine code as a library, so that no process loads numba."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import rtppool_echo
import rtppool_relay
from lab.base.errors import LabError
from rtppool_core.compiled.build import BuildError, build
from rtppool_core.compiled.compiler import EntryPoints
from rtppool_core.compiled.sources import Sources
from rtppool_echo.reflector import entry_points as reflector
from rtppool_echo.reflector.sources import SOURCES as ECHO_SOURCES
from rtppool_relay.packets import entry_points as packet_path
from rtppool_relay.packets.sources import SOURCES as RELAY_SOURCES


@dataclass(frozen=True, slots=True)
class Compiled:
    """A package, and its library."""

    package: ModuleType
    file: str
    functions: EntryPoints
    sources: Sources


RELAY = Compiled(rtppool_relay, "packets/packet_path.so", packet_path.ENTRY_POINTS, RELAY_SOURCES)
ECHO = Compiled(rtppool_echo, "reflector/reflector.so", reflector.ENTRY_POINTS, ECHO_SOURCES)


def with_library(folder: Path, compiled: Compiled = RELAY) -> dict[str, str]:
    """Copy the package into `folder`, build its library, and return the variable that makes Python import the copy.

    Raises:
        LabError: the library cannot be linked.
    """
    package = folder / compiled.package.__name__
    source = Path(compiled.package.__file__ or "").parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    try:
        build(package / compiled.file, compiled.functions, compiled.sources)
    except BuildError as error:
        raise LabError(str(error)) from error
    return {"PYTHONPATH": str(folder)}

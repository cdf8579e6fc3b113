"""The relay's package as images have it: with the packet path as a library, so that no process loads numba."""

from __future__ import annotations

import shutil
from pathlib import Path

import rtppool_relay
from lab.base.errors import LabError
from rtppool_core.compiled.build import BuildError, build
from rtppool_relay.packets.entry_points import ENTRY_POINTS
from rtppool_relay.packets.sources import SOURCES


def with_library(folder: Path) -> dict[str, str]:
    """Copy the package into `folder`, build its library, and return the variable that makes Python import the copy.

    Raises:
        LabError: the library cannot be linked.
    """
    package = folder / "rtppool_relay"
    source = Path(rtppool_relay.__file__ or "").parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    try:
        build(package / "packets/packet_path.so", ENTRY_POINTS, SOURCES)
    except BuildError as error:
        raise LabError(str(error)) from error
    return {"PYTHONPATH": str(folder)}

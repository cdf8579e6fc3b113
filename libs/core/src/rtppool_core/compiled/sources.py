"""The source of machine code, as one number: constants and functions of imported files are part of it, too."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

# By folder: the names of modules.
Sources = Mapping[Path, tuple[str, ...]]
CORE = Path(__file__).parent.parent
# The modules of this room that all machine code is made of, from `CORE` on.
KIT = ("compiled/arrays", "compiled/compiler", "compiled/sources", "compiled/system_calls")


def source_stamp(sources: Sources) -> int:
    """Return a checksum of all files of `sources`."""
    stamp = 0
    for folder, names in sources.items():
        for name in names:
            stamp = zlib.crc32((folder / f"{name}.py").read_bytes(), stamp)
    return stamp

"""Compilation with numba, at the first call of a function, and a cache of the machine code beside the source.

numba's own cache depends on a function's file alone. But constants and functions imported from other files are part of
its machine code, too. So this cache depends on all files of `SOURCES`: a changed line in one of them compiles all
functions again (some seconds, once).

The machine code fits every CPU of its architecture, so that one image serves every node. Only media processes import
this module.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import InTreeCacheLocator

import rtppool_core

F = TypeVar("F", bound=Callable[..., object])

_HERE = Path(__file__).parent
_KEPT_IN = _HERE / "__pycache__"
# The files of compiled functions and all their imports from our packages; a test compares them.
SOURCES: Mapping[Path, tuple[str, ...]] = {
    _HERE: ("compiled", "departure_stamps", "memory", "packet_path", "system_calls"),
    _HERE.parent / "media": ("rows",),
    Path(rtppool_core.__file__).parent: (
        "net/udp", "rtp/echo_extension", "rtp/header", "rtp/serial", "units",
    ),
}  # fmt: skip


@cache
def source_stamp() -> str:
    """Return a hash of all files of `SOURCES`."""
    stamp = hashlib.sha256()
    for folder, names in SOURCES.items():
        for name in names:
            stamp.update((folder / f"{name}.py").read_bytes())
    return stamp.hexdigest()


class PackageCacheLocator(InTreeCacheLocator):
    """Cache in `__pycache__`. An image has it read-only, with everything compiled ahead."""

    def get_source_stamp(self) -> str:
        """Return `source_stamp()`."""
        return source_stamp()

    def get_cache_path(self) -> str:
        """Return one folder for all functions, including those of core."""
        return str(_KEPT_IN)

    def ensure_cache_path(self) -> None:
        """Do nothing: `compiled` checks whether the folder is writable."""


# numba's settings, which it otherwise reads from the environment.
_settings: Any = numba.config
_settings.CPU_NAME = "generic"
_settings.CPU_FEATURES = ""
_settings.CACHE_LOCATOR_CLASSES = f"{__name__}.{PackageCacheLocator.__name__}"


@cache
def _can_keep() -> bool:
    try:
        _KEPT_IN.mkdir(exist_ok=True)
    except OSError:
        return False
    return os.access(_KEPT_IN, os.W_OK) or any(_KEPT_IN.glob("*.nbi"))


def compiled(function: F) -> F:
    """Return the function, compiled at its first call for the types of its arguments."""
    return cast("F", numba.njit(cache=_can_keep())(function))

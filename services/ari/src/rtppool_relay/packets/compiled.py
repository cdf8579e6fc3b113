"""Python that runs as machine code: numba compiles it at its first call and keeps the result beside the source.

Only media processes import this. What numba keeps is valid for one function's own file; constants and functions that a
compiled function takes from other files are part of its code, too. So what is kept here is valid for all files of
`SOURCES` together, and a changed line in one of them compiles again (some seconds, once).

The code is for any CPU of its architecture, so that an image built on one machine has it ready for every node.
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
# The files of compiled functions, and all of ours that those import; a test holds it to them.
SOURCES: Mapping[Path, tuple[str, ...]] = {
    _HERE: ("compiled", "departure_stamps", "forwarding", "memory", "packet_path", "receiving", "system_calls"),
    _HERE.parent / "media": ("rows",),
    Path(rtppool_core.__file__).parent: (
        "net/udp", "rtp/echo_extension", "rtp/header", "rtp/serial", "units",
    ),
}  # fmt: skip


@cache
def source_stamp() -> str:
    """A hash of every file that compiled code is made of."""
    stamp = hashlib.sha256()
    for folder, names in SOURCES.items():
        for name in names:
            stamp.update((folder / f"{name}.py").read_bytes())
    return stamp.hexdigest()


class PackageCacheLocator(InTreeCacheLocator):
    """Keeps compiled code in `__pycache__`. In an image that is read-only, with everything compiled ahead."""

    def get_source_stamp(self) -> str:
        """See `source_stamp`."""
        return source_stamp()

    def get_cache_path(self) -> str:
        """One folder for all of it, also for what core defines."""
        return str(_KEPT_IN)

    def ensure_cache_path(self) -> None:
        """Whether it can be written is looked at by `compiled`."""


# numba's own settings, which it reads from the environment when it is imported.
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
    """The same function, compiled for the types that it is called with. See numba's manual for what it may use."""
    return cast("F", numba.njit(cache=_can_keep())(function))

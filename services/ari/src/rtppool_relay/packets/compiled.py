"""Compilation with numba, at the first call of a function, and a cache of the machine code beside the source.

numba's own cache depends on a function's file alone. This cache depends on all files of `SOURCES`: a changed line in
one of them compiles all functions again (some seconds, once).

The machine code fits every CPU of its architecture, so that one image serves every node. It allocates no memory, and
numba refuses a function that would: so the code needs no part of numba's runtime.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import InTreeCacheLocator

from rtppool_relay.packets.sources import source_stamp

F = TypeVar("F", bound=Callable[..., object])

_HERE = Path(__file__).parent
_KEPT_IN = _HERE / "__pycache__"


class PackageCacheLocator(InTreeCacheLocator):
    """Cache in `__pycache__`."""

    def get_source_stamp(self) -> int:
        """Return `source_stamp()`."""
        return source_stamp()

    def get_cache_path(self) -> str:
        """Return one folder for all functions, including those of core."""
        return str(_KEPT_IN)

    def ensure_cache_path(self) -> None:
        """Do nothing: `compiled` checks whether the folder is writable."""


_njit: Any = numba.njit
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
    return os.access(_KEPT_IN, os.W_OK)


def compiled(function: F) -> F:
    """Return the function, compiled at its first call for the types of its arguments."""
    return cast("F", _njit(cache=_can_keep(), _nrt=False)(function))


def exported(function: F) -> F:
    """Return the function for a library: not of the cache, which has no LLVM module of a function."""
    return cast("F", _njit(_nrt=False)(function))

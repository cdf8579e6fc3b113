"""Compilation with numba, at the first call of a function, and a cache of the machine code beside the source.

numba's own cache depends on a function's file alone. This cache depends on all sources of a program: a changed line in
one of them compiles all functions again (some seconds, once).

The machine code fits every CPU of its architecture, so that one image serves every node. It allocates no memory, and
numba refuses a function that would: so the code needs no part of numba's runtime.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import InTreeCacheLocator
from numba.extending import register_jitable

from rtppool_core.compiled.sources import Sources, source_stamp

# The functions of a library by exported name: each with its arguments' types.
EntryPoints = Mapping[str, tuple[Any, tuple[Any, ...]]]
F = TypeVar("F", bound=Callable[..., object])

_njit: Any = numba.njit
_part: Any = register_jitable


class Compiler:
    """The compiler of a program's functions, with the cache in `folder`. `sources` are all files that they depend on.

    A function of another room of core gets machine code in the cache of each program that compiles it.
    """

    def __init__(self, sources: Sources, folder: Path) -> None:
        self.folder = folder
        self._sources = sources

    @cached_property
    def stamp(self) -> int:
        """The checksum of the sources."""
        return source_stamp(self._sources)

    @cached_property
    def can_keep(self) -> bool:
        """Whether the cache is writable."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError:
            return False
        return os.access(self.folder, os.W_OK)

    def compiled(self, function: F) -> F:
        """Return the function, compiled at its first call for the types of its arguments."""
        # numba asks its locator for the cache of a function, and gives it the function alone.
        setattr(function, _COMPILER, self)
        return cast("F", _njit(cache=self.can_keep, _nrt=False)(function))


def register(*modules: ModuleType) -> None:
    """Let compiled code call the functions of plain Python modules. numba compiles those that it reaches."""
    for module in modules:
        for function in vars(module).values():
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                _part(function)


def exported(function: F) -> F:
    """Return the function for a library: not of the cache, which has no LLVM module of a function."""
    return cast("F", _njit(_nrt=False)(function))


_COMPILER = "_rtppool_compiler"


_Locator: Any = InTreeCacheLocator


class ProgramCacheLocator(_Locator):  # type: ignore[misc]
    """The cache of the compiler of a function."""

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        self._compiler: Compiler = getattr(function, _COMPILER)

    def get_source_stamp(self) -> int:
        """Return the checksum of all sources of the program."""
        return self._compiler.stamp

    def get_cache_path(self) -> str:
        """Return one folder for all functions, including those of core."""
        return str(self._compiler.folder)

    def ensure_cache_path(self) -> None:
        """Do nothing: the compiler checks whether the folder is writable."""


# numba's settings, which it otherwise reads from the environment.
_settings: Any = numba.config
_settings.CPU_NAME = "generic"
_settings.CPU_FEATURES = ""
_settings.CACHE_LOCATOR_CLASSES = f"{__name__}.{ProgramCacheLocator.__name__}"

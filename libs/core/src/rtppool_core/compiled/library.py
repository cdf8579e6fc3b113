"""Machine code as a library, which needs neither numba nor a compiler (`build`)."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from rtppool_core.compiled.sources import Sources, source_stamp

STAMP_NAME = "source_stamp"


class LibraryError(Exception):
    """The library was built from another source, or its code failed."""


class Library:
    """The functions of the library in `file`, which was built from `sources`.

    Raises:
        OSError: the file is no library for this machine.
        LibraryError: it was built from another source.
    """

    def __init__(self, file: Path, sources: Sources) -> None:
        self._library = ctypes.CDLL(str(file))
        if ctypes.c_uint64.in_dll(self._library, STAMP_NAME).value != source_stamp(sources):
            raise LibraryError(f"{file} was built from another source; remove it, or build it anew")

    def call(self, name: str, *arguments: int) -> int:
        """Call a function by numba's convention: addresses for result and error come first, the status returns.

        Raises:
            LibraryError: the code failed.
        """
        result, error = ctypes.c_int64(), ctypes.c_void_p()
        status = self._library[name](ctypes.byref(result), ctypes.byref(error), *map(ctypes.c_int64, arguments))
        if status:
            raise LibraryError(f"{name} failed with status {status}")
        return result.value


def address_of(memory: Any) -> int:
    """Return the address of a writable buffer."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))

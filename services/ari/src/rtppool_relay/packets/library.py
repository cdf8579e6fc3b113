"""The packet path as a library: machine code that needs neither numba nor a compiler (`build_library`)."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING

from rtppool_relay.packets.sources import source_stamp

if TYPE_CHECKING:
    # A heartbeat loads the library without numpy.
    from rtppool_relay.packets.memory import Media

STAMP_NAME = "source_stamp"


class LibraryError(Exception):
    """The library was built from another source, or its code failed."""


class Library:
    """The functions that Python calls, from the library in `file`."""

    def __init__(self, file: Path) -> None:
        """Load `file`.

        Raises:
            OSError: the file is no library for this machine.
            LibraryError: it was built from another source than that beside it.
        """
        self._library = ctypes.CDLL(str(file))
        if ctypes.c_uint64.in_dll(self._library, STAMP_NAME).value != source_stamp():
            raise LibraryError(f"{file} was built from another source; remove it, or build it anew")

    def forward(self, media: Media) -> bool:
        """Forward packets until the command socket is readable. Return False when epoll fails."""
        return bool(self._call("forward", media.description_address))

    def drain_queued(self, media: Media, slot: int) -> None:
        """Forward the packets queued before the connect; each one's sender is checked."""
        self._call("drain_queued", media.description_address, slot)

    def expect(self, media: Media, slot: int, highest: int) -> None:
        """Record the index of the stream's latest packet."""
        self._call("expect", media.description_address, slot, highest)

    def collect_stamps(self, media: Media, descriptor: int) -> None:
        """Read the stamps that wait on the socket's error queue."""
        self._call("collect_stamps", media.description_address, descriptor)

    def beat(self, words: memoryview) -> int:
        """Run a heartbeat on the words of its block."""
        return self._call("beat", ctypes.addressof(ctypes.c_char.from_buffer(words)), len(words))

    def _call(self, name: str, *arguments: int) -> int:
        """Call a function by numba's convention: addresses for result and error come first, the status returns."""
        result, error = ctypes.c_int64(), ctypes.c_void_p()
        status = self._library[name](ctypes.byref(result), ctypes.byref(error), *map(ctypes.c_int64, arguments))
        if status:
            raise LibraryError(f"{name} failed with status {status}")
        return result.value

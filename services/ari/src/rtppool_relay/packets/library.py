"""The packet path as a library: machine code that needs neither numba nor a compiler (`build_library`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtppool_core.compiled import library
from rtppool_core.compiled.library import address_of
from rtppool_relay.packets.sources import SOURCES

if TYPE_CHECKING:
    # A heartbeat loads the library without numpy.
    from rtppool_relay.packets.memory import Media


class Library:
    """The functions that Python calls, from the library in `file`."""

    def __init__(self, file: Path) -> None:
        """Load `file`.

        Raises:
            OSError: the file is no library for this machine.
            LibraryError: it was built from another source than that beside it.
        """
        self._call = library.Library(file, SOURCES).call

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
        return self._call("beat", address_of(words), len(words))

"""The packet path as a library: machine code that needs neither numba nor a compiler (`build_library`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rtppool_core.compiled import library
from rtppool_core.compiled.library import address_of
from rtppool_relay.packets.sources import SOURCES

if TYPE_CHECKING:
    # No process loads numpy for a library.
    from rtppool_relay.packets.memory import Media


class Library:
    """The functions that Python calls, from the library in `file`. Of `media` they need the description alone."""

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

    def begin_call(
        self,
        media: Media,
        slot: int,
        asterisk: int,
        tos: int,
        extend: int,
        peer: int,
        peer_1: int,
        peer_2: int,
        peer_3: int,
    ) -> None:
        """Begin a call without a stream. `peer` and its followers are the words of Asterisk's struct sockaddr."""
        words = (peer, peer_1, peer_2, peer_3)
        self._call("begin_call", media.description_address, slot, asterisk, tos, extend, *words)

    def set_echo(self, media: Media, slot: int, descriptor: int) -> None:
        """Send the call's packets to this socket from now on."""
        self._call("set_echo", media.description_address, slot, descriptor)

    def link(self, media: Media, descriptor: int, slot: int, leg: int, stamped: int) -> None:
        """Enter a call's socket. `stamped`: the kernel stamps departures."""
        self._call("link", media.description_address, descriptor, slot, leg, stamped)

    def unlink(self, media: Media, descriptor: int) -> None:
        """Clear the entry of a socket."""
        self._call("unlink", media.description_address, descriptor)

    def resume(self, media: Media, slot: int) -> None:
        """Restore the call's state from its rows, if a former media process wrote any."""
        self._call("resume", media.description_address, slot)

    def collect_stamps(self, media: Media, descriptor: int) -> None:
        """Read the stamps that wait on the socket's error queue."""
        self._call("collect_stamps", media.description_address, descriptor)

    def beat(self, words: memoryview) -> int:
        """Run a heartbeat on the words of its block."""
        return self._call("beat", address_of(words), len(words))

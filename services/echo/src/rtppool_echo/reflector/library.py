"""The reflecting process's code as a library: it needs neither numba nor a compiler (`build_library`)."""

from __future__ import annotations

from pathlib import Path

from rtppool_core.compiled import library
from rtppool_echo.reflector.sources import SOURCES


class Library:
    """The functions of `entry_points`, from the library in `file`.

    Raises:
        OSError: the file is no library for this machine.
        LibraryError: it was built from another source than that beside it.
    """

    def __init__(self, file: Path) -> None:
        self._call = library.Library(file, SOURCES).call

    def reflect(self, address: int) -> int:
        """Answer datagrams; see `system_calls.reflect`."""
        return self._call("reflect", address)

    def judge(self, address: int, number: int, now_ns: int) -> int:
        """Decide on the first `number` datagrams of the memory."""
        return self._call("judge", address, number, now_ns)

    def fill_waiting(self, address: int, sent_ns: int) -> int:
        """Fill the extensions of the batch; return 1 where a host time is to be asked."""
        return self._call("fill_waiting", address, sent_ns)

    def answer(self, address: int) -> int:
        """Send the answers of the batch, and return their number."""
        return self._call("answer", address)

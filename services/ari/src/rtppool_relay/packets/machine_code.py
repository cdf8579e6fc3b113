"""The packet path's machine code: of the library where one was built, as in an image, otherwise of numba."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from rtppool_relay.media.library_file import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtppool_relay.packets.memory import Media

if LIBRARY.exists():
    from rtppool_relay.packets.layout import Layout
    from rtppool_relay.packets.library import Library

    _library = Library(LIBRARY)
    # Without the arrays: a library needs the description alone.
    lay_out = cast("Callable[[Any, int, int, int], Media]", Layout)
    begin_call, link, resume = _library.begin_call, _library.link, _library.resume
    set_echo, unlink = _library.set_echo, _library.unlink
    collect_stamps, drain_queued, forward = _library.collect_stamps, _library.drain_queued, _library.forward
else:
    from rtppool_relay.packets.compile_ahead import compile_ahead
    from rtppool_relay.packets.departure_stamps import collect_stamps
    from rtppool_relay.packets.joining import begin_call, link, resume, set_echo, unlink
    from rtppool_relay.packets.memory import lay_out
    from rtppool_relay.packets.packet_path import drain_queued, forward

    # A media process answers when its code is complete: no packet waits for the compiler.
    compile_ahead()

__all__ = [
    "begin_call", "collect_stamps", "drain_queued", "forward", "lay_out", "link", "resume", "set_echo", "unlink",
]  # fmt: skip

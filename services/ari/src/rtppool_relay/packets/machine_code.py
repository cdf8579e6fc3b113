"""The packet path's machine code: of the library where one was built, as in an image, otherwise of numba."""

from __future__ import annotations

from rtppool_relay.media.library_file import LIBRARY

if LIBRARY.exists():
    from rtppool_relay.packets.library import Library

    _library = Library(LIBRARY)
    collect_stamps, drain_queued = _library.collect_stamps, _library.drain_queued
    expect, forward = _library.expect, _library.forward
else:
    from rtppool_relay.packets.compile_ahead import compile_ahead
    from rtppool_relay.packets.departure_stamps import collect_stamps
    from rtppool_relay.packets.packet_path import drain_queued, expect, forward

    # A media process answers when its code is complete: no packet waits for the compiler.
    compile_ahead()

__all__ = ["collect_stamps", "drain_queued", "expect", "forward"]

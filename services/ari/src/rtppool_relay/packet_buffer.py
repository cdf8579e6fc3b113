"""The one buffer through which a media process reads and sends, with the room that the echo's extension needs.

A packet lies at `START`, so that an extension fits between its header and its payload by moving the header alone.
Views of it are kept by size: making one anew for each packet costs more than looking it up.
"""

from __future__ import annotations

from rtppool_core.echo_extension import EXTENSION_BYTES

LARGEST_DATAGRAM = 2048
START = EXTENSION_BYTES


class PacketBuffer:
    """`data[START:]` holds what was read from Asterisk; `plain[size]` and `extended[size]` are what is sent.

    An extended packet begins at 0 and is as long as its size in `extended` says, extension included. What is read
    from the echo begins at 0 as well (`from_echo`): its extension is taken out by moving the header back to `START`.
    """

    def __init__(self) -> None:
        self.data = bytearray(START + LARGEST_DATAGRAM)
        view = memoryview(self.data)
        self.from_asterisk = [view[START:]]
        self.from_echo = [view]
        self.plain = [view[START : START + size] for size in range(LARGEST_DATAGRAM + 1)]
        self.extended = [view[:size] for size in range(START + LARGEST_DATAGRAM + 1)]

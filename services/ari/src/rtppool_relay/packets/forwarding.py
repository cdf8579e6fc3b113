"""The loop of a media process: whatever is readable is taken one packet further. Compiled."""

from __future__ import annotations

import errno

from rtppool_relay.packets.compiled import compiled
from rtppool_relay.packets.memory import ASTERISK_LEG, MAX_EVENTS, Media
from rtppool_relay.packets.packet_path import from_asterisk, from_echo
from rtppool_relay.packets.system_calls import epoll_wait, error_number, signed

_FOR_EVER = -1
_INTERRUPTED = errno.EINTR


@compiled
def forward(media: Media) -> None:
    """Forward packets until there is a command to read, or until epoll fails."""
    commanded = False
    while not commanded:
        readable = epoll_wait(media.epoll, media.events_address, MAX_EVENTS, _FOR_EVER)
        if readable < 0 and error_number() != _INTERRUPTED:
            return
        for place in range(readable):
            descriptor = signed(media.events[place].descriptor)
            if descriptor == media.commands:
                commanded = True
                continue
            link = media.sockets[descriptor]
            if link.leg == ASTERISK_LEG:
                from_asterisk(media, link.slot)
            else:
                from_echo(media, descriptor)

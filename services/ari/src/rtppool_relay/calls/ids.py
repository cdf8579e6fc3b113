"""The ids that this relay chooses in Asterisk, and the parsing of ids and channel names.

`rtp_<8 hex of sha256(NODE_NAME, NUL, APP_NAME)>_<call>_media` and `…_bridge`. Chosen ids make every request repeatable.
The prefix identifies the relay's own objects after a restart, and the relay touches no others. Two relays on one
machine differ by their applications.

Earlier relays hashed NODE_NAME alone. Such ids also belong to relays with other applications, so that an id of the
old form is no evidence of ownership.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

Part = Literal["media", "bridge"]

# Asterisk refuses longer ids (AST_MAX_PUBLIC_UNIQUEID).
MAX_ID = 149
_MAX_CALL = 100
_PLAIN_CALL = re.compile(rf"[A-Za-z0-9.\-]{{1,{_MAX_CALL}}}", re.ASCII)
_ANY_RELAYS_MEDIA = re.compile(r"rtp_[0-9a-f]{8}_.+_media", re.ASCII | re.DOTALL)
_UNICAST_RTP = re.compile(r"UnicastRTP/.+:(\d{1,5})-[^-:/]+", re.ASCII)
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class CallIds:
    """The ids of one relay."""

    prefix: str

    @classmethod
    def of_relay(cls, node_name: str, application: str) -> CallIds:
        """Return the ids of the relay of an application on this node, the same after every restart."""
        return cls._of_digest(f"{node_name}\0{application}")

    @classmethod
    def of_node(cls, node_name: str) -> CallIds:
        """Return the ids of the old form, which all relays on a node shared."""
        return cls._of_digest(node_name)

    @classmethod
    def _of_digest(cls, text: str) -> CallIds:
        return cls(f"rtp_{hashlib.sha256(text.encode()).hexdigest()[:8]}_")

    def media(self, call: str) -> str:
        """Return the id of the call's externalMedia channel."""
        return f"{self.prefix}{call}_media"

    def bridge(self, call: str) -> str:
        """Return the id of the call's bridge."""
        return f"{self.prefix}{call}_bridge"

    def parse(self, identifier: str) -> tuple[str, Part] | None:
        """Return the call and the part that an id of this relay names, or None for other ids."""
        if not identifier.startswith(self.prefix):
            return None
        call, _, part = identifier.removeprefix(self.prefix).rpartition("_")
        if not call:
            return None
        if part == "media":
            return call, "media"
        return (call, "bridge") if part == "bridge" else None


def call_of(caller_channel: str) -> str:
    """Return the call's name: the caller's channel id, or a digest of a long or unusual one."""
    if _PLAIN_CALL.fullmatch(caller_channel):
        return caller_channel
    return f"x{hashlib.sha256(caller_channel.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def is_media_of_any_relay(channel: str) -> bool:
    """Return whether a channel is the media channel of a relay, of this one or another, and so never a caller."""
    return _ANY_RELAYS_MEDIA.fullmatch(channel) is not None


def port_of_name(channel_name: str) -> int | None:
    """Return the relay's port in `UnicastRTP/192.0.2.1:10000-0x7f…`, or None for other names."""
    match = _UNICAST_RTP.fullmatch(channel_name)
    port = int(match[1]) if match else 0
    return port if 0 < port <= _MAX_PORT else None

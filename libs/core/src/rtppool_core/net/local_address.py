"""The addresses of this machine, as the kernel routes them (rtnetlink(7))."""

from __future__ import annotations

import ipaddress
import socket
import struct

# linux/netlink.h and linux/rtnetlink.h
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_NLM_F_REQUEST = 1
_RTA_DST = 1
_RTN_LOCAL = 2
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=8BI")
_ATTRIBUTE = struct.Struct("=HH")
_MAX_ANSWER_BYTES = 4096


def is_local_address(address: str) -> bool:
    """Return whether packets to an IP address stay on this machine. False where the kernel does not answer.

    A route decides, because a bind also succeeds elsewhere with `ip_nonlocal_bind`, and a secondary address is not the
    source address of packets to itself.
    """
    destination = ipaddress.ip_address(address.partition("%")[0])
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6  # noqa: PLR2004
    route = _ROUTE.pack(family, destination.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(destination.packed), _RTA_DST) + destination.packed
    size = _HEADER.size + len(route) + len(attribute)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.send(_HEADER.pack(size, _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + route + attribute)
            answer = kernel.recv(_MAX_ANSWER_BYTES, socket.MSG_DONTWAIT)
    except OSError:
        return False
    if len(answer) < _HEADER.size + _ROUTE.size or _HEADER.unpack_from(answer)[1] != _RTM_NEWROUTE:
        return False
    return bool(_ROUTE.unpack_from(answer, _HEADER.size)[7] == _RTN_LOCAL)

"""Trial binds: a port that fails one is quarantined, and a quarantined port that passes one is restored."""

from __future__ import annotations

import asyncio
import logging

from rtppool_relay.media.port_sockets import can_bind
from rtppool_relay.ports.own_address import PortAddresses
from rtppool_relay.ports.port_manager import PortManager

log = logging.getLogger(__name__)

BATCH = 64


async def try_ports(manager: PortManager, addresses: PortAddresses, ports: list[int]) -> None:
    """Bind and close each of `ports` that is still free; the event loop runs after every `BATCH`.

    Raises:
        OSError: descriptors or memory have run out. The rest of `ports` is not tried.
    """
    quarantined = set(manager.quarantined())
    for at, port in enumerate(ports):
        # A port leased or lent after `ports` was listed would fail the bind because of its own sockets.
        if not manager.is_leased(port) and port != manager.probe_port:
            _try_port(manager, addresses, port, port in quarantined)
        if at % BATCH == BATCH - 1:
            await asyncio.sleep(0)


def _try_port(manager: PortManager, addresses: PortAddresses, port: int, quarantined: bool) -> None:
    reason = can_bind(addresses.bound(), port)
    if reason is None:
        if quarantined:
            manager.restore(port)
        return
    if not quarantined:
        # Preflight reports all of them in one finding.
        log.debug("a port of the range is not usable", extra={"fields": {"port": port, "reason": reason}})
    manager.quarantine(port, reason)

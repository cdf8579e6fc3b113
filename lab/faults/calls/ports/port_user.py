"""A process that leases, binds and releases ports as a relay does, until it is killed. `ports` starts it.

It first leases every available port and prints `full N`. After a line from its parent it releases them and makes random
operations. `lease P`, `release P` and `aside P` report completed operations; the parent ignores an incomplete line.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

from rtppool_core.contract.port_range import PortRange
from rtppool_core.net.udp import BindError
from rtppool_relay.media.port_sockets import PortSockets, bind_pair, can_bind
from rtppool_relay.ports.port_manager import PortManager, PortsExhausted

ADDRESS = "127.0.0.1"
DSCP = 46
MEAN_LEASED = 60
OPERATION_SECONDS = 0.1  # of the port manager's time


class PortUser:
    """The leased ports with their sockets. `say` prints a line at once."""

    def __init__(self, ports: PortRange, chance: random.Random, say: Callable[[str], None]) -> None:
        self._ports = PortManager(ports)
        self._chance = chance
        self._say = say
        self._held: list[PortSockets] = []
        self._now_seconds = 0.0

    def fill(self) -> int:
        """Lease all available ports; return their number."""
        while self._lease():
            pass
        return len(self._held)

    def clear(self) -> None:
        """Release all ports."""
        while self._held:
            self._release()

    def operate(self) -> None:
        """Make one random operation: mostly leases while few ports are held, mostly releases while many are."""
        self._now_seconds += OPERATION_SECONDS
        quarantined = self._ports.quarantined()
        if quarantined and self._chance.random() < 0.05:
            self._try(self._chance.choice(quarantined))
        elif self._held and self._chance.random() * 2 * MEAN_LEASED < len(self._held):
            self._release()
        else:
            self._lease()

    def _lease(self) -> bool:
        while True:
            try:
                port = self._ports.lease(self._now_seconds)
            except PortsExhausted:
                return False
            try:
                sockets = bind_pair(ADDRESS, port, DSCP)
            except BindError as error:
                self._ports.release(port, self._now_seconds)
                self._ports.quarantine(port, str(error))
                self._say(f"aside {port}")
                continue
            self._held.append(sockets)
            self._say(f"lease {port}")
            return True

    def _release(self) -> None:
        sockets = self._held.pop(self._chance.randrange(len(self._held)))
        # Reported before the close: afterwards another process may lease the port.
        self._say(f"release {sockets.port}")
        sockets.close()
        self._ports.release(sockets.port, self._now_seconds)

    def _try(self, port: int) -> None:
        if can_bind(ADDRESS, port) is None:
            self._ports.restore(port)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(first: int, last: int, seed: int) -> None:
    """Run until killed, or until the parent closes standard input."""
    user = PortUser(PortRange(first, last), random.Random(seed), _say)
    _say(f"full {user.fill()}")
    if not sys.stdin.readline():
        return
    user.clear()
    _say("cleared")
    while True:
        user.operate()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

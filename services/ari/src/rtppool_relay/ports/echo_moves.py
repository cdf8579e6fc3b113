"""A live port's move to another echo. The old echo's answers still count for as long as an answer can count.

The control process switches its own socket first, so that a restarted media process gets the new one. A switch that
the media process has not confirmed is repeated at the next `move` to the same address.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from rtppool_core.net.udp import BindError, host_port
from rtppool_core.process.periodic import describe_failure
from rtppool_relay.media.media_process import MediaFault
from rtppool_relay.media.port_sockets import PortSockets, bind_another_echo
from rtppool_relay.media.supervisor import MediaSupervisor

log = logging.getLogger(__name__)

# Longer than the 2 s after which a packet without an answer is lost.
OLD_ECHO_SECONDS = 2.5


class EchoMoves:
    """One port's moves: its sockets to former echoes, and whether the media process confirmed the last switch."""

    def __init__(self, supervisor: MediaSupervisor, slot: int, sockets: PortSockets, dscp: int) -> None:
        self._supervisor = supervisor
        self._slot = slot
        self._sockets = sockets
        self._dscp = dscp
        self._old: list[socket.socket] = []
        self._confirmed = True
        self._problem: str | None = None
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._forgetting: asyncio.Task[None] | None = None

    def aims_at(self, address: tuple[str, int]) -> bool:
        """Return whether the port sends to the echo at `address`. A closed port has nothing left to move."""
        echo = self._sockets.echo
        try:
            return echo.fileno() < 0 or echo.getpeername()[:2] == address
        except OSError:
            return False

    async def move(self, address: tuple[str, int], bind_address: str, *, attached: bool) -> bool:
        """Send this port's packets to `address`; return False where the move failed and must be repeated.

        `attached`: a media process forwards the port and must switch, too.
        """
        if self._sockets.echo.fileno() < 0:
            return True
        try:
            if not self.aims_at(address):
                self._switch_socket(address, bind_address)
            if attached and not self._confirmed:
                await self._supervisor.switch_echo(self._slot, self._sockets.echo)
        except BindError as error:
            self._report(error)
            # The media process may still hold a socket that should be forgotten, and that prevents the bind.
            await self._forget_in_media()
            return False
        except (MediaFault, OSError, MemoryError) as error:
            self._report(error)
            return False
        if not self._ended:
            self._confirmed, self._problem = True, None
            self._schedule_forgetting()
        return True

    @property
    def former(self) -> tuple[socket.socket, ...]:
        """The sockets to former echoes."""
        return tuple(self._old)

    def end(self) -> None:
        """Close the sockets to former echoes when the port closes."""
        self._ended = True
        self._cancel_timer()
        self._close_old()

    def _switch_socket(self, address: tuple[str, int], bind_address: str) -> None:
        another = bind_another_echo(self._sockets, bind_address, self._dscp, tuple(self._old))
        try:
            another.connect(address)
        except OSError as error:
            another.close()
            raise OSError(error.errno, f"{host_port(*address)} can't be reached from it: {error.strerror}") from error
        self._cancel_timer()
        self._old.append(self._sockets.echo)
        self._sockets.echo = another
        self._confirmed = False

    def _report(self, error: Exception) -> None:
        problem = str(error) or describe_failure(error)
        if self._problem != problem:
            self._problem = problem
            log.error("port %d is not moved to another echo yet: %s", self._sockets.port, problem)

    def _schedule_forgetting(self) -> None:
        """Start the timer at the last switch, because the media process forgets all old sockets at once."""
        if self._timer is None and self._old:
            self._timer = asyncio.get_running_loop().call_later(OLD_ECHO_SECONDS, self._start_forgetting)

    def _start_forgetting(self) -> None:
        self._forgetting = asyncio.create_task(self._forget())

    async def _forget(self) -> None:
        switches = len(self._old)
        try:
            forgotten = await self._forget_in_media()
        except Exception:
            log.exception("the media process keeps the sockets of port %d to former echoes", self._sockets.port)
            forgotten = False
        # Another switch, or the port's end, may have come meanwhile and decides then.
        if self._ended or len(self._old) != switches:
            return
        self._timer = None
        if forgotten:
            self._close_old()
        else:
            self._schedule_forgetting()

    async def _forget_in_media(self) -> bool:
        try:
            await self._supervisor.forget_old_echo(self._slot)
        except MediaFault as fault:
            log.warning("%s", fault)
            return False
        return True

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_old(self) -> None:
        for sock in self._old:
            sock.close()
        self._old.clear()

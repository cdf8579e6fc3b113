"""Moves live ports to another echo: a socket more, and the old one's answers count on for as long as they can.

Control's sockets are moved first: a media process that is started meanwhile is then handed the new one. A switch that
a media process has not confirmed is said again at the next `move` to the same address.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from rtppool_core.net.udp import BindError, host_port
from rtppool_relay.media.port_sockets import PortSockets, bind_another_echo
from rtppool_relay.media.supervisor import MediaFault, MediaSupervisor

log = logging.getLogger(__name__)

# Answers of an old echo still count for as long as an answer can count at all.
OLD_ECHO_ANSWERS_SECONDS = 2.5


@dataclass(slots=True)
class _Move:
    """A port's old sockets, and whether its media process knows of the last one."""

    old: list[socket.socket] = field(default_factory=list)
    confirmed: bool = True
    timer: asyncio.TimerHandle | None = None
    problem: str | None = None


class EchoMoves:
    """The moves that are not over yet, by slot. `bind_address` tells what sockets are bound to."""

    def __init__(self, supervisor: MediaSupervisor, bind_address: Callable[[], str], dscp: int) -> None:
        self._supervisor = supervisor
        self._bind_address = bind_address
        self._dscp = dscp
        self._of: dict[int, _Move] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def move(self, slot: int, sockets: PortSockets, address: tuple[str, int], *, attached: bool) -> bool:
        """Send this port's packets to `address`. False: it stays with its echo for now, and is to be moved again."""
        if sockets.echo.fileno() < 0:
            return True
        move = self._of.setdefault(slot, _Move())
        try:
            if sockets.echo.getpeername()[:2] != address:
                self._switch_ours(move, sockets, address)
            if attached and not move.confirmed:
                await self._supervisor.switch_echo(slot, sockets.echo)
        except BindError as error:
            self._stays(move, sockets.port, error)
            # A media process may still hold a socket that was to be forgotten.
            await self._forget_in_media(slot)
            return False
        except (MediaFault, OSError) as error:
            self._stays(move, sockets.port, error)
            return False
        if self._of.get(slot) is move:
            move.confirmed, move.problem = True, None
            self._forget_later(slot, move)
        return True

    def end(self, slot: int) -> None:
        """The port is given up: close what its moves left."""
        move = self._of.pop(slot, None)
        if move is not None:
            _stop(move)
            _close(move)

    def _switch_ours(self, move: _Move, sockets: PortSockets, address: tuple[str, int]) -> None:
        another = bind_another_echo(sockets, self._bind_address(), self._dscp, tuple(move.old))
        try:
            another.connect(address)
        except OSError as error:
            another.close()
            raise OSError(error.errno, f"{host_port(*address)} can't be reached from it: {error.strerror}") from error
        _stop(move)
        move.old.append(sockets.echo)
        sockets.echo = another
        move.confirmed = False

    def _stays(self, move: _Move, port: int, error: Exception) -> None:
        if move.problem != str(error):
            move.problem = str(error)
            log.error("port %d is not moved to another echo yet: %s", port, error)

    def _forget_later(self, slot: int, move: _Move) -> None:
        """Counted from the last switch: a media process forgets all old sockets at once."""
        if move.timer is None and move.old:
            loop = asyncio.get_running_loop()
            move.timer = loop.call_later(OLD_ECHO_ANSWERS_SECONDS, self._begin_to_forget, slot, move)

    def _begin_to_forget(self, slot: int, move: _Move) -> None:
        task = asyncio.create_task(self._forget(slot, move))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forget(self, slot: int, move: _Move) -> None:
        switches = len(move.old)
        forgotten = await self._forget_in_media(slot)
        # Another switch, or the port's end, may have come meanwhile; then theirs is the next word.
        if self._of.get(slot) is not move or len(move.old) != switches:
            return
        move.timer = None
        if forgotten:
            _close(move)
        else:
            self._forget_later(slot, move)

    async def _forget_in_media(self, slot: int) -> bool:
        try:
            await self._supervisor.forget_old_echo(slot)
        except MediaFault as fault:
            log.warning("%s", fault)
            return False
        return True


def _stop(move: _Move) -> None:
    if move.timer is not None:
        move.timer.cancel()
        move.timer = None


def _close(move: _Move) -> None:
    for sock in move.old:
        sock.close()
    move.old.clear()

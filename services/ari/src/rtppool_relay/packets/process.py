"""A media process: a compiled loop over epoll, without event loop, logging or garbage collection.

The control process starts it as `python -m rtppool_relay.packets.process COMMANDS ROWS [real-time]`. COMMANDS is the
descriptor of a Unix socket (SOCK_SEQPACKET: commands with descriptors), ROWS that of the shared rows (memfd). The
process ends when the command socket is closed. SIGTERM and SIGINT are blocked from its first moment on
(`media.launch`): the control process handles them, and ends its media processes after the calls.
"""

from __future__ import annotations

import gc
import json
import mmap
import select
import socket
import sys
from typing import Any

from rtppool_core.process.scheduling import prioritize
from rtppool_relay.media.launch import REAL_TIME
from rtppool_relay.media.rows import SLOT_BYTES, SLOTS
from rtppool_relay.packets.attach import CallSettings, TooManyDescriptorsError, attach, attach_echo, detach_socket
from rtppool_relay.packets.compile_ahead import compile_ahead
from rtppool_relay.packets.memory import lay_out
from rtppool_relay.packets.packet_path import drain_queued, forward

MAX_COMMAND_BYTES = 4096
MAX_DESCRIPTORS = 2


class MediaLoop:
    """The calls of a media process. It runs commands one at a time, between packets; `forward` handles the packets."""

    def __init__(self, commands: socket.socket, memory: memoryview) -> None:
        self._commands = commands
        self._poller = select.epoll()
        self._media = lay_out(memory, SLOTS, self._poller.fileno(), commands.fileno())
        self._sockets: dict[int, list[socket.socket]] = {}
        self._running = True
        self._poller.register(commands.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Forward packets until the command socket is closed."""
        while self._running:
            forward(self._media)
            self._on_command()

    def _on_command(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._commands, MAX_COMMAND_BYTES, MAX_DESCRIPTORS)
        if not message:
            self._running = False
            return
        command: dict[str, Any] = json.loads(message)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        try:
            error = self._execute(command, sockets)
        except TooManyDescriptorsError as too_many:
            error = str(too_many)
            for sock in sockets:
                sock.close()
        self._commands.send(json.dumps({"id": command["id"], "error": error}).encode())

    def _execute(self, command: dict[str, Any], sockets: list[socket.socket]) -> str | None:
        slot = command.get("slot", -1)
        match command["do"]:
            case "ping":
                return None
            case "add":
                peer = (command["peer"][0], command["peer"][1])
                return self._add(slot, sockets, CallSettings(peer, command["tos"], command["extend"]))
            case "echo":
                return self._switch_echo(slot, sockets)
            case "forget_old_echo":
                return self._forget_old_echo(slot)
            case "remove":
                return self._remove(slot)
        return f"unknown command {command['do']!r}"

    def _add(self, slot: int, sockets: list[socket.socket], settings: CallSettings) -> str | None:
        # A restart and a new call may both add the same slot; the later one counts.
        self._remove(slot)
        asterisk, *echoes = sockets
        attach(self._media, slot, asterisk, echoes[-1], settings)
        self._sockets[slot] = sockets
        drain_queued(self._media, slot)
        self._watch(asterisk)
        self._watch(echoes[-1])
        return None

    def _switch_echo(self, slot: int, sockets: list[socket.socket]) -> str | None:
        held = self._sockets.get(slot)
        if held is None:
            return f"no call in slot {slot}"
        attach_echo(self._media, slot, sockets[0])
        held.extend(sockets)
        self._watch(sockets[0])
        return None

    def _forget_old_echo(self, slot: int) -> str | None:
        held = self._sockets.get(slot, [])
        for old in held[1:-1]:
            self._unwatch(old)
            held.remove(old)
        return None

    def _remove(self, slot: int) -> str | None:
        for sock in self._sockets.pop(slot, []):
            self._unwatch(sock)
        return None

    def _watch(self, sock: socket.socket) -> None:
        self._poller.register(sock.fileno(), select.EPOLLIN)

    def _unwatch(self, sock: socket.socket) -> None:
        # The control process has a duplicate, so closing alone would leave the socket in the epoll set.
        self._poller.unregister(sock.fileno())
        detach_socket(self._media, sock)
        sock.close()


def main() -> int:
    """Run one media process and return its exit code."""
    command_descriptor, rows_descriptor = int(sys.argv[1]), int(sys.argv[2])
    real_time = REAL_TIME in sys.argv[3:]
    memory = memoryview(mmap.mmap(rows_descriptor, SLOTS * SLOT_BYTES))
    compile_ahead()
    prioritize(real_time=real_time)
    loop = MediaLoop(socket.socket(fileno=command_descriptor), memory)
    gc.collect()
    gc.freeze()
    gc.disable()
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

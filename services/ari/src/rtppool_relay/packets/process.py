"""A media process: a compiled loop over epoll, without event loop, logging or garbage collection.

The control process starts it as `python -m rtppool_relay.packets.process COMMANDS ROWS [real-time]`. COMMANDS is the
descriptor of a Unix socket (SOCK_SEQPACKET: commands with descriptors), ROWS that of the shared rows (memfd). The
process ends when the command socket is closed. SIGTERM and SIGINT are blocked from its first moment on
(`media.launch`): the control process handles them, and ends its media processes after the calls.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
import os
import select
import socket
import sys
import time
from typing import Any

from rtppool_core.process.scheduling import prioritize
from rtppool_core.process.shortage import is_shortage
from rtppool_relay.media.arguments import REAL_TIME
from rtppool_relay.media.sizes import SLOT_BYTES, SLOTS
from rtppool_relay.packets.attach import CallSettings, attach, attach_echo, detach_socket
from rtppool_relay.packets.machine_code import drain_queued, forward, lay_out

MAX_COMMAND_BYTES = 4096
# One more than any command has, so that too many are noticed.
MAX_DESCRIPTORS = 3
MAX_ERROR_LENGTH = 500
MAX_PORT = 65_535
MAX_TOS = 255
RETRY_SECONDS = 0.001
# The commands, each with the number of descriptors that come with it.
DESCRIPTORS_OF = {"ping": 0, "add": 2, "echo": 1, "forget_old_echo": 0, "remove": 0}


class CommandError(Exception):
    """A command that this process cannot carry out; the message says why."""


class MediaLoop:
    """The calls of a media process. It runs commands one at a time, between packets; `forward` handles the packets.

    No command ends it: a failure is the answer to the sender, and the descriptors of that command are closed.
    """

    def __init__(self, commands: socket.socket, memory: memoryview) -> None:
        self._commands = commands
        self._poller = select.epoll()
        self._media = lay_out(memory, SLOTS, self._poller.fileno(), commands.fileno())
        self._sockets: dict[int, list[socket.socket]] = {}
        # The slots of `_sockets` as bits. The answer to a ping contains them, so that control finds each difference.
        self._held = 0
        self._running = True
        self._poller.register(commands.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Forward packets until the command socket is closed."""
        while self._running:
            if forward(self._media):
                self._on_command()
            else:
                time.sleep(RETRY_SECONDS)

    def _on_command(self) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(self._commands, MAX_COMMAND_BYTES, MAX_DESCRIPTORS)
        except (OSError, MemoryError) as error:
            # The command waits in the socket, or control repeats it.
            self._running = is_shortage(error)
            return
        if not message:
            self._running = False
            return
        answer = json.dumps(self._answer(message, descriptors)).encode()
        # Control repeats a command without an answer. When it has exited, the next receive says so.
        with contextlib.suppress(OSError):
            self._commands.send(answer)

    def _answer(self, message: bytes, descriptors: list[int]) -> dict[str, Any]:
        number: Any = None
        sockets: list[socket.socket] = []
        try:
            command = json.loads(message)
            number = command["id"]
            sockets.extend(socket.socket(fileno=descriptor) for descriptor in descriptors)
            self._execute(command, sockets)
        except Exception as failure:  # noqa: BLE001 the sender gets it, and the other calls go on
            for sock in sockets:
                sock.close()
            for descriptor in descriptors[len(sockets) :]:
                os.close(descriptor)
            return {"id": number, "error": f"{type(failure).__name__}: {failure}"[:MAX_ERROR_LENGTH]}
        return {"id": number, "error": None, "slots": f"{self._held:x}"}

    def _execute(self, command: dict[str, Any], sockets: list[socket.socket]) -> None:
        do = command["do"]
        expected = DESCRIPTORS_OF.get(do)
        if expected is None:
            raise CommandError(f"unknown command {do!r}; accepted are {', '.join(DESCRIPTORS_OF)}")
        if len(sockets) != expected:
            raise CommandError(
                f"{do} came with {len(sockets)} descriptors instead of {expected}; "
                "is the limit of open files too low (ulimit -n)?"
            )
        if do == "ping":
            return
        slot = _slot(command)
        if do == "add":
            self._add(slot, sockets, _call_settings(command))
        elif do == "echo":
            self._switch_echo(slot, sockets[0])
        elif do == "forget_old_echo":
            self._forget_old_echo(slot)
        else:
            self._remove(slot)

    def _add(self, slot: int, sockets: list[socket.socket], settings: CallSettings) -> None:
        # A restart and a new call may both add the same slot; the later one counts.
        self._remove(slot)
        asterisk, echo = sockets
        try:
            attach(self._media, slot, asterisk, echo, settings)
            drain_queued(self._media, slot)
            self._watch(asterisk)
            self._watch(echo)
        except BaseException:
            self._unwatch(asterisk)
            self._unwatch(echo)
            raise
        self._sockets[slot] = list(sockets)
        self._held |= 1 << slot

    def _switch_echo(self, slot: int, echo: socket.socket) -> None:
        held = self._sockets.get(slot)
        if held is None:
            raise CommandError(f"no call in slot {slot}")
        self._watch(echo)
        try:
            attach_echo(self._media, slot, echo)
        except BaseException:
            self._unwatch(echo)
            raise
        held.append(echo)

    def _forget_old_echo(self, slot: int) -> None:
        held = self._sockets.get(slot, [])
        for old in held[1:-1]:
            self._unwatch(old)
            held.remove(old)

    def _remove(self, slot: int) -> None:
        for sock in self._sockets.pop(slot, []):
            self._unwatch(sock)
        self._held &= ~(1 << slot)

    def _watch(self, sock: socket.socket) -> None:
        self._poller.register(sock.fileno(), select.EPOLLIN)

    def _unwatch(self, sock: socket.socket) -> None:
        """Close a socket, watched or not."""
        # The control process has a duplicate, so closing alone would leave the socket in the epoll set.
        with contextlib.suppress(OSError):
            self._poller.unregister(sock.fileno())
        detach_socket(self._media, sock)
        sock.close()


def _slot(command: dict[str, Any]) -> int:
    slot = command.get("slot")
    if type(slot) is not int or not 0 <= slot < SLOTS:
        raise CommandError(f"slot is {slot!r}; accepted is a whole number from 0 to {SLOTS - 1}")
    return slot


def _call_settings(command: dict[str, Any]) -> CallSettings:
    host, port = command["peer"]
    if type(port) is not int or not 0 < port <= MAX_PORT:
        raise CommandError(f"peer's port is {port!r}; accepted is a whole number from 1 to {MAX_PORT}")
    tos = int(command["tos"])
    if not 0 <= tos <= MAX_TOS:
        raise CommandError(f"tos is {tos}; accepted is a whole number from 0 to {MAX_TOS}")
    return CallSettings((str(host), port), tos, bool(command["extend"]))


def main() -> int:
    """Run one media process and return its exit code."""
    command_descriptor, rows_descriptor = int(sys.argv[1]), int(sys.argv[2])
    real_time = REAL_TIME in sys.argv[3:]
    memory = memoryview(mmap.mmap(rows_descriptor, SLOTS * SLOT_BYTES))
    prioritize(real_time=real_time)
    loop = MediaLoop(socket.socket(fileno=command_descriptor), memory)
    gc.collect()
    gc.freeze()
    gc.disable()
    loop.run()
    return 0


if __name__ == "__main__":
    # Without taking the interpreter down: after a hand-over the next relay waits for this process.
    os._exit(main())

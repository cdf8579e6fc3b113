"""A media process as the control process sees it: its exit, and the commands that it confirms.

Commands and answers are JSON messages over a Unix socket (SOCK_SEQPACKET). Sockets travel with them as descriptors.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import subprocess
from collections.abc import Mapping, Sequence

from rtppool_core.process.periodic import describe_failure
from rtppool_core.process.shortage import is_shortage
from rtppool_core.process.supervisor import END_SECONDS, ChildProcess

ANSWER_SECONDS = 2.0
PING_ANSWER_SECONDS = 0.5
MAX_MISSED_PINGS = 3
# The parts of a time-out. A stall of the control process uses up one of them at most.
TURNS = 4
MAX_ANSWER_BYTES = 4096


class MediaFault(Exception):  # noqa: N818 the field's word
    """The media side failed for a call that it had accepted; the message says what and where."""


class MediaProcess:
    """A started media process and our end of its command socket, both owned by this object.

    `missed_pings` counts those in a row without an answer. `has_answered` is set from the first answer to the end.

    Raises:
        OSError: no descriptor is free. The process has been killed.
    """

    def __init__(self, process: subprocess.Popen[bytes], commands: socket.socket) -> None:
        self.pid = process.pid
        self.missed_pings = 0
        self.has_answered = False
        self._commands = commands
        self._command_ids = itertools.count(1)
        self._unanswered: dict[int, asyncio.Future[int]] = {}
        self._ending: asyncio.Task[int] | None = None
        asyncio.get_running_loop().add_reader(commands.fileno(), self._on_answer)
        self._child = ChildProcess(process, self._hang_up)

    async def wait(self) -> int:
        """Return the exit code once the process has exited."""
        return await self._child.wait()

    async def end(self, seconds: float = END_SECONDS) -> int:
        """Close the command socket, which ends the process, and kill it after `seconds`. Return the exit code."""
        return await self._child.end(seconds)

    def kill(self) -> None:
        """End the process by force. Its exit is noticed as any other."""
        self._child.kill()

    @property
    def is_up(self) -> bool:
        """Whether the process has answered, and not missed `MAX_MISSED_PINGS` pings in a row since."""
        return self.has_answered and self.missed_pings < MAX_MISSED_PINGS

    async def ping(self) -> frozenset[int]:
        """Return the slots that the process holds, after all commands that were sent before.

        Raises:
            MediaFault: the process does not answer in time, or ended.
        """
        try:
            held = await self.command({"do": "ping"}, (), PING_ANSWER_SECONDS)
        except MediaFault:
            self.missed_pings += 1
            raise
        return frozenset(at for at, bit in enumerate(reversed(f"{held:b}")) if bit == "1")

    async def command(
        self, command: Mapping[str, object], descriptors: Sequence[int] = (), timeout_seconds: float = ANSWER_SECONDS
    ) -> int:
        """Send a command and return when the process has confirmed it, with the slots that it holds, as bits.

        Raises:
            MediaFault: the process refuses it, does not answer in time, or ended.
        """
        number, answer = self._send(command, descriptors)
        try:
            # In turns, so that a control loop that stands still loses one turn, and reads the answer in the next.
            for _ in range(TURNS):
                if (await asyncio.wait({answer}, timeout=timeout_seconds / TURNS))[0]:
                    return answer.result()
        finally:
            self._unanswered.pop(number, None)
            if not answer.cancel():
                answer.exception()  # retrieved, also where the wait for it was cancelled
        raise self._fault(f"no answer within {timeout_seconds:g} s")

    def post(self, command: Mapping[str, object]) -> None:
        """Send a command without waiting for its answer.

        Raises:
            MediaFault: it can't be sent.
        """
        number, answer = self._send(command, ())
        self._unanswered.pop(number)
        answer.cancel()

    def _send(self, command: Mapping[str, object], descriptors: Sequence[int]) -> tuple[int, asyncio.Future[int]]:
        if self._commands.fileno() < 0:
            raise MediaFault(f"media process {self.pid} ended")
        number = next(self._command_ids)
        message = json.dumps({**command, "id": number}).encode()
        try:
            socket.send_fds(self._commands, [message], list(descriptors))
        except (OSError, MemoryError) as error:
            raise self._fault(describe_failure(error)) from error
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._unanswered[number] = answer
        return number, answer

    def _fault(self, cause: str) -> MediaFault:
        return MediaFault(f"media process {self.pid} does not take commands: {cause}")

    def _on_answer(self) -> None:
        try:
            message = self._commands.recv(MAX_ANSWER_BYTES)
        except (OSError, MemoryError) as error:
            # A shortage leaves the answer in the socket.
            if is_shortage(error):
                return
            message = b""
        if not message:
            # A process that closed its socket forwards nothing any more, whether or not it has exited.
            self._ending = asyncio.create_task(self.end(END_SECONDS))
            return
        self.missed_pings, self.has_answered = 0, True
        answer = json.loads(message)
        future = self._unanswered.pop(answer["id"], None)
        if future is None or future.done():
            return
        if answer["error"] is None:
            future.set_result(int(answer["slots"], 16))
        else:
            future.set_exception(MediaFault(f"media process {self.pid}: {answer['error']}"))

    def _hang_up(self) -> None:
        asyncio.get_running_loop().remove_reader(self._commands.fileno())
        self._commands.close()
        self.has_answered = False
        for future in self._unanswered.values():
            if not future.done():
                future.set_exception(MediaFault(f"media process {self.pid} ended"))
        self._unanswered.clear()

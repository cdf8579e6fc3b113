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

from rtppool_core.process.supervisor import END_SECONDS, ChildProcess

ANSWER_SECONDS = 2.0
MAX_ANSWER_BYTES = 4096


class MediaFault(Exception):  # noqa: N818 the field's word
    """The media side failed for a call that it had accepted; the message says what and where."""


class MediaProcess:
    """A started media process and our end of its command socket, both owned by this object.

    `answered_at_seconds` is the event loop's time of the latest answer; None before the first one and after the end.

    Raises:
        OSError: no descriptor is free. The process has been killed.
    """

    def __init__(self, process: subprocess.Popen[bytes], commands: socket.socket) -> None:
        self.pid = process.pid
        self.answered_at_seconds: float | None = None
        self._commands = commands
        self._command_ids = itertools.count(1)
        self._unanswered: dict[int, asyncio.Future[None]] = {}
        self._ending: asyncio.Task[int] | None = None
        asyncio.get_running_loop().add_reader(commands.fileno(), self._on_answer)
        self._child = ChildProcess(process, self._hang_up)

    async def wait(self) -> int:
        """Return the exit code once the process has exited."""
        return await self._child.wait()

    async def end(self, seconds: float = END_SECONDS) -> int:
        """Close the command socket, which ends the process, and kill it after `seconds`. Return the exit code."""
        return await self._child.end(seconds)

    async def command(
        self, command: Mapping[str, object], descriptors: Sequence[int] = (), timeout_seconds: float = ANSWER_SECONDS
    ) -> None:
        """Send a command and return when the process has confirmed it.

        Raises:
            MediaFault: the process refuses it, does not answer in time, or ended.
        """
        if self._commands.fileno() < 0:
            raise MediaFault(f"media process {self.pid} ended")
        number = next(self._command_ids)
        answer = asyncio.get_running_loop().create_future()
        self._unanswered[number] = answer
        try:
            message = json.dumps({**command, "id": number}).encode()
            socket.send_fds(self._commands, [message], list(descriptors))
            async with asyncio.timeout(timeout_seconds):
                await answer
        except OSError as error:  # TimeoutError is one, too
            cause = error.strerror or "no answer"
            raise MediaFault(f"media process {self.pid} does not take commands: {cause}") from error
        finally:
            self._unanswered.pop(number, None)

    def _on_answer(self) -> None:
        try:
            message = self._commands.recv(MAX_ANSWER_BYTES)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            # A process that closed its socket forwards nothing any more, whether or not it has exited.
            self._ending = asyncio.create_task(self.end(END_SECONDS))
            return
        self.answered_at_seconds = asyncio.get_running_loop().time()
        answer = json.loads(message)
        future = self._unanswered.pop(answer["id"], None)
        if future is None or future.done():
            return
        if answer["error"] is None:
            future.set_result(None)
        else:
            future.set_exception(MediaFault(f"media process {self.pid}: {answer['error']}"))

    def _hang_up(self) -> None:
        asyncio.get_running_loop().remove_reader(self._commands.fileno())
        self._commands.close()
        self.answered_at_seconds = None
        for future in self._unanswered.values():
            if not future.done():
                future.set_exception(MediaFault(f"media process {self.pid} ended"))
        self._unanswered.clear()

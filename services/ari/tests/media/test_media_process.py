"""The control process's end of the command socket, with a scripted program at the other end."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from rtppool_relay.media.launch import command_sockets
from rtppool_relay.media.media_process import MediaFault, MediaProcess

PREAMBLE = "import json, signal, socket, sys; commands = socket.socket(fileno=int(sys.argv[1])); "
ANSWER = (
    "number = json.loads(commands.recv(4096))['id']; "
    "commands.send(json.dumps({'id': number, 'error': ERROR, 'slots': '5'}).encode()); "
)
UNTIL_HUNG_UP = "commands.recv(4096)"


def start(program: str) -> MediaProcess:
    ours, theirs = command_sockets()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 our own interpreter
            [sys.executable, "-I", "-S", "-c", PREAMBLE + program, str(theirs.fileno())], pass_fds=(theirs.fileno(),)
        )
    return MediaProcess(process, ours)


async def test_a_confirmed_command_returns_and_the_process_has_answered() -> None:
    media = start(ANSWER.replace("ERROR", "None") + UNTIL_HUNG_UP)
    assert not media.is_up
    assert await media.command({"do": "ping"}, timeout_seconds=30) == 5
    assert media.is_up
    assert await media.end(30) == 0
    assert not media.is_up


async def test_a_refused_command_fails_with_the_reason() -> None:
    media = start(ANSWER.replace("ERROR", "'no call in slot 7'") + UNTIL_HUNG_UP)
    with pytest.raises(MediaFault, match=f"media process {media.pid}: no call in slot 7"):
        await media.command({"do": "remove"}, timeout_seconds=30)
    await media.end(30)


async def test_a_command_without_an_answer_fails_after_its_time() -> None:
    media = start(UNTIL_HUNG_UP + "; " + UNTIL_HUNG_UP)
    with pytest.raises(MediaFault, match="does not take commands: no answer"):
        await media.command({"do": "ping"}, timeout_seconds=0.01)
    await media.end(30)


async def test_the_end_of_the_process_fails_the_commands_that_wait_and_all_later_ones() -> None:
    media = start(UNTIL_HUNG_UP + "; sys.exit(3)")
    for _ in range(2):
        with pytest.raises(MediaFault, match=f"media process {media.pid} ended"):
            await media.command({"do": "ping"}, timeout_seconds=30)
    assert await media.wait() == 3


async def test_a_process_that_closed_its_command_socket_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtppool_relay.media.media_process.END_SECONDS", 0.01)
    media = start("commands.close(); signal.pause()")
    async with asyncio.timeout(30):
        assert await media.wait() == -9

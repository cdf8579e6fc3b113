from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import pytest

from rtppool_echo.check import main, target_of
from rtppool_echo.settings import Settings

Run = Callable[[Settings], AbstractAsyncContextManager[Any]]


@contextmanager
def answering(answer: Callable[[bytes], bytes | None]) -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(30)
        end = threading.Event()

        def serve() -> None:
            while not end.is_set():
                data, sender = sock.recvfrom(2000)
                back = answer(data) if data else None
                if back is not None:
                    sock.sendto(back, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{sock.getsockname()[1]}"
        finally:
            end.set()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", sock.getsockname())
            thread.join()


async def test_a_real_echo_answers_every_packet(run_echo: Run, settings: Settings) -> None:
    async with run_echo(dataclasses.replace(settings, echo_bind="127.0.0.1")) as echo:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "rtppool_echo.check", f"127.0.0.1:{echo.port}", "--packets", "5"),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert process.returncode == 0
    text = said.decode()
    assert f"echo 127.0.0.1:{echo.port}: sent 5, answered 5, lost 0; round trip min " in text
    assert text.count(" ms") == 3


def test_an_echo_that_answers_half_is_a_failure_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(lambda data: data if data[3] % 2 else None) as target:
        assert main([target, "--packets", "4", "--wait", "0.1"]) == 1
    assert "sent 4, answered 2, lost 2" in capsys.readouterr().out


def test_changed_bytes_are_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(lambda data: data[:-1] + b"\x00") as target:
        assert main([target, "--packets", "2", "--wait", "0.1"]) == 1
    assert "answered 0, lost 2, 2 answers with other bytes" in capsys.readouterr().out


def test_no_echo_is_said_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    assert main([f"127.0.0.1:{port}", "--packets", "3", "--wait", "0.2"]) == 1
    assert "connection refused: no echo listens there" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "4000", "host", "host:", ":4000", "host:0", "host:70000", "host:4e3"])
def test_a_target_that_is_none_says_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=r"accepted is HOST:PORT, for example 127.0.0.1:4000"):
        target_of(text)


def test_targets_of_both_families_are_read() -> None:
    assert target_of("echo.example:4000") == ("echo.example", 4000)
    assert target_of("[2001:db8::1]:4000") == ("2001:db8::1", 4000)

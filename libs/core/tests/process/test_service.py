from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from rtppool_core.net.listeners import ListenError
from rtppool_core.process.service import Stop, run
from rtppool_core.process.settings import SettingsError


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_to_stop_and_a_second_one_to_hurry(number: signal.Signals) -> None:
    seen = []

    async def start(stop: Stop) -> None:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.asked.wait(), 5)
        seen.append(stop.urgent.is_set())
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.urgent.wait(), 5)

    before = signal.getsignal(number)
    assert run("x", start) == 0
    assert seen == [False]
    assert signal.getsignal(number) == before


def test_bad_settings_are_said_a_line_each_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    async def start(_stop: Stop) -> None:
        raise SettingsError(("A=1: accepted is 2", "B=3: accepted is 4"))

    assert run("rtp-x", start) == 2
    assert capsys.readouterr().err == "rtp-x: A=1: accepted is 2\nrtp-x: B=3: accepted is 4\n"


def test_a_listener_that_can_not_bind_is_said_with_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    async def start(_stop: Stop) -> None:
        raise ListenError("HTTP_PORT=1: busy")

    assert run("rtp-x", start) == 1
    assert capsys.readouterr().err == "rtp-x: HTTP_PORT=1: busy\n"


def test_a_defect_is_not_hidden() -> None:
    async def start(_stop: Stop) -> None:
        raise KeyError("defect")

    with pytest.raises(KeyError, match="defect"):
        run("rtp-x", start)


def test_a_service_may_end_by_itself() -> None:
    async def start(_stop: Stop) -> None:
        return

    assert run("rtp-x", start) == 0


BEFORE_SERVING = """
import asyncio, os, signal, sys
from rtppool_core.process.service import run

async def start(stop):
    if sys.argv[1] == "serves":
        stop.begin_serving()
    print("up", flush=True)
    await asyncio.wait_for(stop.asked.wait(), 20)
    print("stopped in order", flush=True)

sys.exit(run("rtp-x", start, exit_before_serving=True))
"""


@pytest.mark.parametrize(("state", "said"), [("starts", "up\n"), ("serves", "up\nstopped in order\n")])
def test_a_signal_ends_a_service_that_starts_at_once_and_one_that_serves_in_order(state: str, said: str) -> None:
    process = subprocess.Popen(  # noqa: S603 our own interpreter
        [sys.executable, "-c", BEFORE_SERVING, state], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.terminate()
    assert line + process.communicate(timeout=20)[0] == said
    assert process.returncode == 0

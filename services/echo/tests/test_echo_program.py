from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from rtppool_testing.ports import free_port


def start(**variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rtppool_echo"], env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    )


def test_bad_settings_end_the_program_with_code_2_and_no_traceback() -> None:
    process = start(ECHO_PORT="abc", HTTP_PORT="0")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert said.splitlines() == [
        "rtp-echo: ECHO_PORT=abc: accepted is a whole number from 1 to 65535",
        "rtp-echo: HTTP_PORT=0: accepted is a whole number from 1 to 65535",
    ]


@pytest.mark.parametrize("reuse", [False, True])
def test_a_busy_udp_port_ends_the_program_with_code_1_and_a_sentence(reuse: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        process = start(ECHO_PORT=str(port), ECHO_BIND="127.0.0.1", ECHO_WORKERS="2")
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said == (
        f"rtp-echo: ECHO_PORT={port}: UDP 127.0.0.1:{port} can't be bound: Address already in use; accepted are a free "
        "port and, as ECHO_BIND, an address of this machine. Find what holds a port with: ss -lunp\n"
    )


def test_a_busy_http_port_ends_the_program_with_code_1_and_a_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        process = start(
            ECHO_PORT=str(free_port()),
            ECHO_BIND="127.0.0.1",
            HTTP_BIND="127.0.0.1",
            HTTP_PORT=str(port),
        )
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert len(said.splitlines()) == 1
    assert f"HTTP_PORT={port}: can't listen on 127.0.0.1 port {port} (Address already in use)" in said


def test_sigterm_ends_it_and_its_processes_with_code_0() -> None:
    http_port = free_port()
    udp_port = free_port()
    process = start(
        ECHO_PORT=str(udp_port),
        ECHO_BIND="127.0.0.1",
        HTTP_BIND="127.0.0.1",
        HTTP_PORT=str(http_port),
        ECHO_WORKERS="2",
    )
    wait_until_ready(http_port)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "echo started" in said
    assert "echo stopped" in said
    assert "Traceback" not in said
    assert not is_held(udp_port)


def test_it_raises_its_limit_of_open_files_to_the_hard_one() -> None:
    before = _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    http_port = free_port()
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        process = start(
            ECHO_PORT=str(free_port()), ECHO_BIND="127.0.0.1", HTTP_BIND="127.0.0.1", HTTP_PORT=str(http_port)
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    try:
        wait_until_ready(http_port)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        limits = {pid: resource.prlimit(int(pid), resource.RLIMIT_NOFILE) for pid in (process.pid, *children)}
        assert set(limits.values()) == {(hard, hard)}
        assert len(limits) == 2
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_its_processes_end_with_a_killed_control_process() -> None:
    http_port = free_port()
    udp_port = free_port()
    process = start(
        ECHO_PORT=str(udp_port),
        ECHO_BIND="127.0.0.1",
        HTTP_BIND="127.0.0.1",
        HTTP_PORT=str(http_port),
        ECHO_WORKERS="2",
    )
    wait_until_ready(http_port)
    process.kill()
    process.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while is_held(udp_port):
        assert time.monotonic() < deadline, "a reflecting process outlived its control process"
        time.sleep(0.01)


def wait_until_ready(http_port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/ready", timeout=2) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.02)
    pytest.fail("the echo was not ready within 20 s")


def is_held(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False

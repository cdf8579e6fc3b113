"""Echo, relay and operator as real processes that are stopped while they start, with and without being process 1."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtppool_testing.ports import LOOPBACK, free_port, free_range

pytestmark = pytest.mark.timeout(180)
CRD = Path(__file__).resolve().parents[2] / "charts/rtp-pool/files/rtppools.yaml"
# A stop needs a third of it on a slow machine; a program that spins instead of ending needs more.
MAX_CPU_SECONDS = 3.0
# On a busy machine, processes wait for a processor.
MAX_WAIT_SECONDS = 60.0
DELAYS_MS = (0, 20, 80, 200, 700, 1500)
PROGRAMS = ("rtppool_echo", "rtppool_relay", "rtppool_operator")
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def may_be_process_1() -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True)  # noqa: S603 a constant
    return trial.returncode == 0


PROCESS_1 = pytest.mark.skipif(not may_be_process_1(), reason="this user may not create PID namespaces")
AS_PROCESS_1 = pytest.param(UNSHARE, marks=PROCESS_1, id="process-1")
PLAIN = pytest.param((), id="plain")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "POD_NAMESPACE": "rtp",
        "CRD_FILE": str(CRD),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(free_port()),
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(free_port()),
        "ECHO_HOST": LOOPBACK,
        "ECHO_WORKERS": "2",
        "ARI_URL": "http://127.0.0.1:1/ari",
        "ARI_USER": "relay",
        "ARI_PASS": "secret",
        "BIND_IP": LOOPBACK,
        "ADVERTISE_IP": LOOPBACK,
        "PORT_RANGE": str(free_range(5)),
        "POOL_CONFIG": "/nowhere/pools.json",
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started = []

    def begin(program: str, *prefix: str) -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 our own interpreter
                [*prefix, sys.executable, "-m", program], env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def children_of(pid: int) -> list[int]:
    """Return the children of all threads: the relay starts its standby and its heartbeat in threads of their own."""
    try:
        threads = [thread / "children" for thread in Path(f"/proc/{pid}/task").iterdir()]
        return [int(child) for children in threads for child in children.read_text().split()]
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all its descendants, of ended ones as well."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND + sum(map(cpu_seconds, children_of(pid)))


def handles_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


def wait_until_guarded(process: subprocess.Popen[bytes], prefix: tuple[str, ...]) -> int:
    """Return the process id of the program as soon as it handles SIGTERM."""
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < deadline:
        pids = children_of(process.pid) if prefix else [process.pid]
        if pids and handles_sigterm(pids[0]):
            return pids[0]
        time.sleep(0.001)
    pytest.fail("the program installs no handler for SIGTERM")


def stop(process: subprocess.Popen[bytes], pid: int) -> float:
    """Send SIGTERM and wait for the end. Returns the CPU seconds in between, of all processes of the program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_seconds = cpu_seconds(process.pid)
    os.kill(pid, signal.SIGTERM)
    process.wait(MAX_WAIT_SECONDS)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    total_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return total_seconds - used_seconds


@pytest.mark.parametrize("delay_ms", DELAYS_MS)
@pytest.mark.parametrize("prefix", [AS_PROCESS_1, PLAIN])
@pytest.mark.parametrize("program", PROGRAMS)
def test_sigterm_ends_a_program_that_has_served_nothing(
    start: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    program: str,
    prefix: tuple[str, ...],
    delay_ms: int,
) -> None:
    process = start(program, *prefix)
    pid = wait_until_guarded(process, prefix)
    time.sleep(delay_ms / 1000)
    used_seconds = stop(process, pid)
    log = (tmp_path / "log").read_text()
    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert used_seconds <= MAX_CPU_SECONDS


@pytest.mark.parametrize("delay_ms", [0, 5, 10, 20, 40, 80])
@pytest.mark.parametrize("program", PROGRAMS)
def test_sigterm_ends_a_program_from_its_first_moment_on(
    start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, program: str, delay_ms: int
) -> None:
    process = start(program)
    time.sleep(delay_ms / 1000)
    assert stop(process, process.pid) <= MAX_CPU_SECONDS
    assert process.returncode in {0, -signal.SIGTERM}
    assert "Traceback" not in (tmp_path / "log").read_text()

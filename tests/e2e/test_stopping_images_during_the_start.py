"""The product's images as containers that are stopped while they start. The cluster is not used.

As process 1 of a container, a program gets no signal that it neither handles nor blocks. The images' init blocks its
signals with its first system calls, some 0.1 ms after exec, and passes SIGTERM on whatever the program does by then.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab.cluster.images.product_images import COMPONENTS, image_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
DELAYS_MS = (0, 10, 20, 40, 80, 200, 700, 1500)
TIMES = (2, pytest.param(10, marks=pytest.mark.full))
MAX_CPU_SECONDS = 1.0
# On a busy machine, processes wait for a processor.
MAX_WAIT_SECONDS = 30.0
POLL_SECONDS = 0.001
INIT = b"/usr/local/bin/tini\0"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# After a handler's own end, and after the signal's default action.
ENDED_BY_SIGTERM = {0, 128 + signal.SIGTERM}
LOOPBACK = "127.0.0.1"
ENVIRONMENT = {
    "ECHO_BIND": LOOPBACK,
    "ECHO_HOST": LOOPBACK,
    "ECHO_WORKERS": "2",
    "ARI_URL": "http://127.0.0.1:1/ari",
    "ARI_USER": "relay",
    "ARI_PASS": "secret",
    "BIND_IP": LOOPBACK,
    "ADVERTISE_IP": LOOPBACK,
    "PORT_RANGE": "10000-10004",
    "POD_NAMESPACE": "rtp",
    "KUBECONFIG": "/kubeconfig",
}


def docker(*words: str) -> str:
    answer = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the configuration of an API server that does not answer."""
    file = tmp_path_factory.mktemp("kube") / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(document))
    return file


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def wait_for_init(container: str) -> int:
    """Return the process id of the container's init, on this machine, as soon as it has blocked SIGTERM."""
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < deadline:
        for process in Path("/proc").glob("[0-9]*"):
            if (
                read(process / "cmdline").startswith(INIT)
                and container.encode() in read(process / "cgroup")
                and is_process_1_with_blocked_signals(process)
            ):
                return int(process.name)
        time.sleep(POLL_SECONDS)
    pytest.fail("the container's init is no process of this machine, or blocks no SIGTERM")


def is_process_1_with_blocked_signals(process: Path) -> bool:
    """Return whether it has blocked SIGTERM. While it waits for a signal, none shows as blocked, but it has a child."""
    fields = {name: values.split() for name, _, values in map(partition, read(process / "status").splitlines())}
    blocks = int(fields.get(b"SigBlk", [b"0"])[0], 16) & 1 << (signal.SIGTERM - 1)
    has_started = read(process / "task" / process.name / "children")
    return fields.get(b"NSpid", [b""])[-1] == b"1" and bool(blocks or has_started)


def partition(line: bytes) -> tuple[bytes, bytes, bytes]:
    return line.partition(b":")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all its descendants, of ended ones as well; 0 after its end."""
    fields = read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    if not fields or fields[0] == b"Z":
        return 0.0
    # A child is listed with the thread that started it.
    children = [int(child) for thread in Path(f"/proc/{pid}/task").glob("*/children") for child in read(thread).split()]
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND + sum(map(cpu_seconds, children))


def stop(pid: int) -> float:
    """Send SIGTERM to the container's init. Return the CPU seconds of its processes until it has ended."""
    before = latest = cpu_seconds(pid)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while (now := cpu_seconds(pid)) > 0 or read(Path(f"/proc/{pid}/cmdline")).startswith(INIT):
        latest = max(latest, now)
        assert time.monotonic() < deadline, "it serves on"
        assert latest - before <= MAX_CPU_SECONDS
        time.sleep(POLL_SECONDS)
    return latest - before


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("delay_ms", DELAYS_MS)
@pytest.mark.parametrize("component", COMPONENTS)
def test_sigterm_ends_an_image_within_a_second_of_cpu_time(
    component: str, delay_ms: int, times: int, kubeconfig: Path
) -> None:
    settings = [word for name, value in ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
    mount = f"{kubeconfig}:/kubeconfig:ro"
    for _ in range(times):
        container = docker("create", "--network", "none", "--volume", mount, *settings, image_of(component))
        try:
            with subprocess.Popen(["docker", "start", container], stdout=subprocess.DEVNULL):
                pid = wait_for_init(container)
                time.sleep(delay_ms / 1000)
                stop(pid)
            assert int(docker("wait", container)) in ENDED_BY_SIGTERM, docker("logs", container)
        finally:
            docker("rm", "--force", container)

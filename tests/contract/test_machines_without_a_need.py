"""Programs as real processes on a machine that can't run them: one sentence, and nothing is started."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtppool_testing.ports import LOOPBACK, free_port, free_range

CRD = Path(__file__).resolve().parents[2] / "charts/rtp-pool/files/rtppools.yaml"
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
# As systemd's MemoryDenyWriteExecute: the process and its children get no executable memory.
WITHOUT_EXECUTABLE_MEMORY = (
    f"import ctypes, os, sys; assert ctypes.CDLL(None).prctl({PR_SET_MDWE}, {PR_MDWE_REFUSE_EXEC_GAIN}, 0, 0, 0) == 0; "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
WITHOUT_LINUX = (
    "import os, runpy, select, sys; del os.memfd_create, os.pidfd_open, select.epoll; "
    "runpy.run_module(sys.argv[2], run_name='__main__')"
)


def outcome(code: str, program: str) -> tuple[int, str]:
    ended = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-c", code, "-m", program],
        env={**os.environ, "HTTP_PORT": "none"},
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    return ended.returncode, ended.stderr


def knows_mdwe() -> bool:
    """Return whether this kernel can take executable memory away (Linux 6.3)."""
    get = PR_SET_MDWE + 1
    return ctypes.CDLL(None).prctl(get, 0, 0, 0, 0) >= 0


@pytest.mark.skipif(not knows_mdwe(), reason="this kernel can't take executable memory away (Linux 6.3)")
@pytest.mark.parametrize(("program", "name"), [("rtppool_relay", "rtp-relay"), ("rtppool_echo", "rtp-echo")])
def test_a_program_without_executable_memory_says_so_in_one_sentence(program: str, name: str) -> None:
    code, said = outcome(WITHOUT_EXECUTABLE_MEMORY, program)
    assert code == 1
    assert said == (
        f"{name}: this machine permits no executable memory (Permission denied), and the packet path is machine "
        "code; remove MemoryDenyWriteExecute from the systemd unit, or permit execmem in SELinux.\n"
    )


@pytest.mark.parametrize(("program", "name"), [("rtppool_relay", "rtp-relay"), ("rtppool_echo", "rtp-echo")])
def test_another_system_than_linux_is_named_in_one_sentence(program: str, name: str) -> None:
    code, said = outcome(WITHOUT_LINUX, program)
    assert code == 1
    assert said == (
        f"{name}: this system (linux) has no memfd_create; it needs Linux 5.3 or newer. On another system, run it in a "
        "container or a virtual machine with Linux.\n"
    )


def test_a_first_media_process_that_ends_at_once_is_reported_with_its_last_line_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise OSError('libLLVM.so: wrong ELF class')")
    ended = subprocess.run(
        [sys.executable, "-m", "rtppool_relay"],
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
            "HTTP_BIND": LOOPBACK,
            "HTTP_PORT": str(free_port()),
            "ARI_USER": "relay",
            "ARI_PASS": "secret",
            "ADVERTISE_IP": LOOPBACK,
            "PORT_RANGE": str(free_range(5)),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "rtp-relay: the first media process can't start: OSError: libLLVM.so: wrong ELF class; the whole error is "
        "shown by: python -m rtppool_relay.packets.machine_code\n"
    )


def test_an_operator_without_a_cluster_says_so_in_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "rtppool_operator"],
        env={
            **{name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"},
            "KUBECONFIG": str(tmp_path / "none"),
            "POD_NAMESPACE": "rtp",
            "CRD_FILE": str(CRD),
            "HTTP_PORT": str(free_port()),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("rtp-operator: no cluster is configured, by a service account or by KUBECONFIG: ")

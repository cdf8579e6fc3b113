"""The packet path as a library, as images have it, against the form that numba makes in development.

It needs a C compiler and a linker, as `make e2e` does, and no cluster.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numba import types

from lab.base.compiler import run_compiler
from lab.bench.subjects.library_form import with_library
from rtppool_core.compiled.build import BuildError, build
from rtppool_core.compiled.compiler import exported
from rtppool_core.compiled.library import Library, LibraryError
from rtppool_core.compiled.system_calls import external
from rtppool_core.rtp.header import NO_DEFECT, defect_at
from rtppool_relay.packets.entry_points import ENTRY_POINTS
from rtppool_relay.packets.sources import SOURCES
from rtppool_testing.ports import LOOPBACK, free_port, free_range

HERE = Path(__file__).parent / "packet_path"
PACKETS, STEPS = 1_000_000, 20


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("library") / "packet_path.so"
    build(file, ENTRY_POINTS, SOURCES)
    return file


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("kernel") / "scripted_kernel.so"
    return run_compiler(["cc", "-O2", "-shared", "-fPIC"], file, HERE / "scripted_kernel.c")


def run(kernel: Path, seed: int, library: Path | None) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "scripted_run.py"), str(seed), str(PACKETS), str(STEPS)]
    done = subprocess.run(
        command + ([str(library)] if library else []),
        env={**os.environ, "LD_PRELOAD": str(kernel)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.timeout(300)
def test_a_million_packets_leave_the_same_bytes_and_the_same_rows(kernel: Path, library: Path) -> None:
    of_numba, of_library = run(kernel, 7, None), run(kernel, 7, library)
    assert (of_numba.pop("has numba"), of_library.pop("has numba")) == (True, False)
    assert of_library == of_numba
    # Every branch that counts was taken, and rows were written, answered, and filled by the echo.
    assert [name for name, count in of_numba["counts"].items() if not count] == []
    assert min(of_numba["written"], of_numba["answered"], of_numba["filled"]) > 0


@pytest.mark.timeout(300)
def test_another_script_leaves_other_bytes(kernel: Path, library: Path) -> None:
    assert run(kernel, 7, library)["states"] != run(kernel, 8, library)["states"]


def test_a_library_of_another_source_is_refused(library: Path, tmp_path: Path) -> None:
    (tmp_path / "edited.py").write_text("edited = True")
    Library(library, SOURCES)
    with pytest.raises(LibraryError, match="was built from another source"):
        Library(library, {**SOURCES, tmp_path: ("edited",)})


def test_the_linker_refuses_a_name_outside_the_c_library(tmp_path: Path) -> None:
    stranger = external("PyErr_Clear", types.int32)

    @exported
    def call(_word: int) -> int:
        return stranger()

    with pytest.raises(BuildError, match="undefined reference to `PyErr_Clear'"):
        build(tmp_path / "library.so", {"call": (call, (types.int64,))}, SOURCES)


@pytest.mark.timeout(120)
def test_a_relay_with_the_library_sends_packets_without_numba(tmp_path: Path) -> None:
    library_form = with_library(tmp_path)
    for name in ("numba", "llvmlite"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('an image has no compiler')")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
        echo.bind((LOOPBACK, 0))
        echo.settimeout(100)
        settings = {
            **library_form,
            "NODE_NAME": "node",
            "BIND_IP": LOOPBACK,
            "ADVERTISE_IP": LOOPBACK,
            "PORT_RANGE": str(free_range(5)),
            "ECHO_HOST": LOOPBACK,
            "ECHO_PORT": str(echo.getsockname()[1]),
            "HTTP_BIND": LOOPBACK,
            "HTTP_PORT": str(free_port()),
        }
        relay = subprocess.Popen([sys.executable, "-m", "rtppool_relay"], env={**os.environ, **settings})
        try:
            probe = echo.recv(2048)
        finally:
            relay.terminate()
            relay.wait()
    assert defect_at(probe, 0, len(probe)) == NO_DEFECT


@pytest.mark.timeout(120)
def test_media_processes_and_heartbeats_with_the_library_load_no_numpy(tmp_path: Path) -> None:
    modules = "import rtppool_relay.packets.process, rtppool_relay.packets.beat_process, sys"
    program = f"{modules}; print('numpy' in sys.modules or 'numba' in sys.modules)"
    environment = {**os.environ, **with_library(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtppool_core.host.own_processes import OwnProcesses, cpu_ns, is_own_command
from rtppool_testing.waiting import until

PROGRAM = "a_program_of_this_test"
BURN = "while True: pass"
IDLE = "import time; time.sleep(60)"

Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python process with these arguments and return its id."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> int:
        process = subprocess.Popen([sys.executable, *arguments])  # noqa: S603 fixed arguments
        started.append(process)
        return process.pid

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("/usr/bin/python3\0-m\0rtppool_relay\0", True),
        ("/opt/venv/bin/python\0-m\0rtppool_relay.packets.process\0004\0005\0", True),
        ("python\0-X\0dev\0-m\0rtppool_echo\0", True),
        ("python\0-m\0rtppool_core.host.beat_process\0{}\0", False),
        ("python\0-m\0rtppool_relay.packets.beat_process\0{}\0", False),
        ("vi\0rtppool_relay\0", False),
        ("pytest\0-m\0e2e\0", False),
        ("", False),
        ("\xff\0-m\0", False),
    ],
)
def test_a_command_line_is_the_product_s_by_its_module(command: str, own: bool) -> None:
    assert is_own_command(command.encode("latin-1")) is own


async def test_the_busiest_process_of_a_program_comes_first_and_idle_ones_are_left_out(start: Start) -> None:
    start("-c", IDLE, "-m", PROGRAM)
    start("-c", BURN)
    burner = start("-c", BURN, "-m", PROGRAM)
    processes = OwnProcesses([PROGRAM])

    def found() -> list[int]:
        return processes.busiest([])

    await until(lambda: found() == [burner], "the start of the others is over")


async def test_a_process_is_included_on_request_while_it_runs(start: Start) -> None:
    idle = start("-c", IDLE)
    processes = OwnProcesses([PROGRAM])
    assert idle in processes.busiest([idle])
    os.kill(idle, 9)
    await until(lambda: idle not in processes.busiest([idle]) or not Path(f"/proc/{idle}/cmdline").read_bytes())


async def test_a_process_of_another_network_namespace_belongs_to_another_installation(
    start: Start, tmp_path: Path
) -> None:
    near, far, untold = (start("-c", BURN) for _ in range(3))
    namespaces = {"self": "net:[1]", str(near): "net:[1]", str(far): "net:[2]", str(untold): None}
    for name, namespace in namespaces.items():
        (tmp_path / name / "ns").mkdir(parents=True)
        (tmp_path / name / "cmdline").write_text(f"python\0-m\0{PROGRAM}\0")
        if namespace is not None:
            (tmp_path / name / "ns/net").symlink_to(namespace)
    processes = OwnProcesses([PROGRAM], proc=str(tmp_path))
    found: set[int] = set()

    def found_both() -> bool:
        found.update(processes.busiest([]))
        return {near, untold} <= found

    await until(found_both)
    assert far not in found


async def test_a_process_that_replaces_its_program_soon_after_its_start_is_found(start: Start) -> None:
    late = (
        f"import os,sys,time; time.sleep(0.3); os.execv(sys.executable, ['python', '-c', {BURN!r}, '-m', {PROGRAM!r}])"
    )
    pid = start("-c", late)
    processes = OwnProcesses([PROGRAM])
    assert pid not in processes.busiest([])
    await until(lambda: b"\0-m\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
    used = cpu_ns(pid) or 0
    await until(lambda: (cpu_ns(pid) or 0) - used > 5_000_000)
    assert pid in processes.busiest([])


def test_an_exited_process_has_no_cpu_time() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert cpu_ns(process.pid) is None
    assert (cpu_ns(os.getpid()) or 0) <= time.process_time_ns()

"""Real-time priority where wanted and permitted. Each test runs in a process of its own, which keeps its priority."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtppool_core.process.scheduling import is_real_time

ASK = """
import os, sys
from rtppool_core.process.scheduling import prioritize
if sys.argv[2] == "without permission" and os.getuid() == 0:
    os.setuid(65534)
prioritize(real_time=sys.argv[1] == "real-time")
print(os.sched_getscheduler(0))
"""
MAY = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
SLICES = """
from pathlib import Path
from rtppool_core.process import scheduling
scheduling.{ask}()
[line] = [line for line in Path("/proc/self/sched").read_text().splitlines() if line.startswith("se.slice ")]
print(line.split()[-1])
"""
ASK_HIGHER = """
import os
from rtppool_core.process.scheduling import ask_for_real_time
print(ask_for_real_time(above_lowest=1), os.sched_getparam(0).sched_priority)
"""
MAY_HIGHER = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))"


def policy_after(wish: str, permission: str) -> int:
    done = subprocess.run([sys.executable, "-c", ASK, wish, permission], capture_output=True, text=True, check=True)  # noqa: S603
    return int(done.stdout)


def test_a_process_that_wants_real_time_priority_has_it_where_it_is_permitted() -> None:
    permitted = subprocess.run([sys.executable, "-c", MAY], capture_output=True, check=False).returncode == 0  # noqa: S603
    assert policy_after("real-time", "as it is") == (os.SCHED_RR if permitted else os.SCHED_OTHER)


def test_a_process_without_permission_stays_ordinary() -> None:
    assert policy_after("real-time", "without permission") == os.SCHED_OTHER


@pytest.mark.parametrize("permission", ["as it is", "without permission"])
def test_a_process_that_does_not_want_it_stays_ordinary(permission: str) -> None:
    assert policy_after("fair", permission) == os.SCHED_OTHER


def test_this_process_is_ordinary_and_one_that_is_gone_is_not_real_time() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert not is_real_time(os.getpid())
    assert not is_real_time(gone.pid)


@pytest.mark.parametrize(("ask", "slice_ns"), [("ask_for_short_slices", 100_000), ("ask_for_long_slices", 100_000_000)])
def test_a_thread_has_the_slices_that_it_asks_for(ask: str, slice_ns: int) -> None:
    scheduler = Path("/proc/self/sched")
    if not scheduler.exists() or "se.slice " not in scheduler.read_text():
        pytest.skip("Linux before 6.12, or one without /proc/PID/sched, shows no slices")
    shown = subprocess.check_output([sys.executable, "-c", SLICES.format(ask=ask)], text=True)  # noqa: S603
    assert int(shown) == slice_ns


def test_a_priority_above_the_lowest_is_had_where_it_is_permitted() -> None:
    permitted = subprocess.run([sys.executable, "-c", MAY_HIGHER], capture_output=True, check=False).returncode == 0  # noqa: S603
    done = subprocess.run([sys.executable, "-c", ASK_HIGHER], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.split() == (["True", "2"] if permitted else ["False", "0"])

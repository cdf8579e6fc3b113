from __future__ import annotations

import os
from pathlib import Path

from rtppool_core.host.figures import WITNESSES, HostFigures
from rtppool_core.host.kernel_texts import Throttling
from rtppool_core.host.witnesses import Counters, KernelCounters, host_time

SECOND = 1_000_000_000


def test_each_counter_of_this_machine_is_read_or_has_a_reason() -> None:
    counters = KernelCounters().read(SECOND, [os.getpid()])
    read = {
        "steal": counters.stolen_ns,
        "runDelay": counters.run_delays_ns,
        "throttling": counters.throttled,
        "pressure": counters.pressure_ns,
    }
    assert {*read, "heartbeat"} == set(WITNESSES)
    assert {name for name, value in read.items() if value is None} == set(counters.absent)
    assert all(counters.absent.values())


def test_the_run_delay_of_a_real_process_is_read() -> None:
    counters = KernelCounters().read(SECOND, [os.getpid()])
    assert counters.run_delays_ns is not None
    assert counters.run_delays_ns[os.getpid()] > 0


def test_a_process_that_has_exited_leaves_the_run_delays_of_the_others() -> None:
    with_dead = KernelCounters().read(SECOND, [os.getpid(), 2**22 + 1])
    assert with_dead.run_delays_ns is not None
    assert set(with_dead.run_delays_ns) == {os.getpid()}


def test_a_machine_without_these_files_has_a_reason_for_each(tmp_path: Path) -> None:
    counters = KernelCounters(tmp_path).read(SECOND, [1])
    assert counters == Counters(SECOND, absent=counters.absent)
    assert set(counters.absent) == {"steal", "runDelay", "throttling", "pressure"}
    assert all("No such file" in reason for reason in counters.absent.values())


def test_a_pressure_file_that_the_kernel_refuses_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "pressure" / "cpu").mkdir(parents=True)
    assert "Is a directory" in KernelCounters(tmp_path).read(SECOND, [1]).absent["pressure"]


def test_the_counters_of_a_limited_group_and_its_parents_are_read(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (groups / "pod").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("0::/pod\n")
    (proc / "self" / "mountinfo").write_text(f"1 1 0:1 / {groups} rw - cgroup2 cgroup2 rw\n")
    (groups / "pod" / "cpu.stat").write_text("nr_periods 9\nnr_throttled 3\nthrottled_usec 5000\n")
    (groups / "cpu.stat").write_text("usage_usec 1\n")
    counters = KernelCounters(proc).read(SECOND, [1])
    assert counters.throttled == {str(groups / "pod"): Throttling(5_000_000, 3)}


def test_host_time_is_the_increase_of_each_counter() -> None:
    before = Counters(0, 2, 10, {1: 5}, {"/g": Throttling(7, 1)}, 100)
    after = Counters(SECOND, 2, 30, {1: 9}, {"/g": Throttling(8, 3)}, 150)
    assert host_time(before, after) == HostFigures(2 * SECOND, 20, 4, 1, 2, 50)


def test_a_counter_that_one_reading_lacks_gives_no_figure() -> None:
    assert host_time(Counters(0), Counters(SECOND, 2, 1, {1: 1}, {"/g": Throttling(1, 1)}, 1)) == HostFigures(
        2 * SECOND
    )


def test_a_media_process_that_was_started_meanwhile_adds_no_run_delay_of_its_start() -> None:
    before, after = Counters(0, 1, run_delays_ns={1: 5}), Counters(SECOND, 1, run_delays_ns={1: 6, 2: 900})
    assert host_time(before, after).run_delay_ns == 1
    assert host_time(before, Counters(SECOND, 1, run_delays_ns={2: 900})).run_delay_ns is None


def test_of_nested_limits_the_one_that_held_back_longest_counts() -> None:
    before = Counters(0, 1, throttled={"/pod": Throttling(0, 0), "/pod/relay": Throttling(0, 0)})
    after = Counters(SECOND, 1, throttled={"/pod": Throttling(40, 4), "/pod/relay": Throttling(50, 3)})
    assert (host_time(before, after).throttled_ns, host_time(before, after).throttled_periods) == (50, 4)

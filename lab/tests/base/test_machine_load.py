from __future__ import annotations

from pathlib import Path

from lab.base.machine_load import CpuTimes, cpu_times, load_since


def machine(folder: Path, stat: str, processes: dict[int, tuple[int, str]]) -> Path:
    (folder / "stat").write_text(f"cpu  {stat}\ncpu0 0\n")
    for pid, (parent, times) in processes.items():
        (folder / str(pid)).mkdir()
        (folder / str(pid) / "stat").write_text(f"{pid} (a (b) c) S {parent} 0 0 0 0 0 0 0 0 0 {times} 20 0")
    return folder


def test_the_times_of_descendants_and_of_ended_ones_are_the_runs_own(tmp_path: Path) -> None:
    processes = {10: (1, "1 2 3 4"), 11: (10, "5 0 0 0"), 12: (11, "6 0 0 0"), 13: (1, "100 0 0 0")}
    proc = machine(tmp_path, "40 10 20 900 5 1 2 22 7 7", processes)
    assert cpu_times(10, proc) == CpuTimes(total=1000, busy=73, stolen=22, own=21)


def test_the_load_separates_other_programs_from_the_run() -> None:
    load = load_since(CpuTimes(0, 0, 0, 0), CpuTimes(total=200, busy=180, stolen=10, own=60))
    assert str(load) == "processors 90 % busy (60 % others), 5 % stolen"


def test_a_run_that_used_more_than_was_counted_leaves_nothing_for_others() -> None:
    assert load_since(CpuTimes(0, 0, 0, 0), CpuTimes(100, 50, 0, 51)).others_percent == 0


def test_this_machine_has_times() -> None:
    times = cpu_times()
    assert times.total > times.busy > 0
    assert times.own > 0

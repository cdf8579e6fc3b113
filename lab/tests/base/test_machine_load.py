from __future__ import annotations

from pathlib import Path

from lab.base.machine_load import CpuTimes, cpu_times, load_since


def test_times_are_read_from_the_kernel_s_files(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  40 10 20 900 5 1 2 22 7 7\ncpu0 0\n")
    (tmp_path / "thread-self").mkdir()
    (tmp_path / "thread-self/schedstat").write_text("700 300 12\n")
    assert cpu_times(tmp_path) == CpuTimes(total=1000, busy=73, stolen=22, ran_ns=700, waited_ns=300)


def test_the_load_is_that_between_two_moments() -> None:
    load = load_since(CpuTimes(100, 50, 5, 10, 10), CpuTimes(300, 230, 15, 20, 40))
    assert str(load) == "processors 90 % busy, 5 % stolen, 75 % waiting for one"


def test_no_time_between_two_moments_is_no_load() -> None:
    now = cpu_times()
    assert str(load_since(now, now)) == "processors 0 % busy, 0 % stolen, 0 % waiting for one"
    assert now.total > now.busy > 0
    assert now.ran_ns > 0

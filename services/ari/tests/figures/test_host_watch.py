from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtppool_core.host.figures import WITNESSES, HostFigures
from rtppool_core.host.witnesses import KernelCounters
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.figures.host_findings import STOLEN, THROTTLED, WAITING, find_host_time
from rtppool_relay.figures.host_time import HostTime
from rtppool_relay.figures.host_watch import HostWatch


def test_two_readings_of_this_machine_give_the_host_time_of_the_second_between() -> None:
    host = HostTime()
    watch = HostWatch(host, lambda: [os.getpid()], KernelCounters())
    watch.read(10 * NS_PER_SECOND + NS_PER_SECOND // 4)
    assert host.absent is None
    watch.read(11 * NS_PER_SECOND + NS_PER_SECOND // 4)
    assert list(host.between(0, 100)) == [10]
    processors = host.latest().capacity_ns
    assert processors is not None
    assert processors >= NS_PER_SECOND
    assert host.absent is not None
    assert set(host.absent) <= set(WITNESSES)


def test_a_machine_without_counters_has_a_reason_for_each(tmp_path: Path) -> None:
    host = HostTime()
    watch = HostWatch(host, lambda: [1], KernelCounters(tmp_path))
    watch.read(NS_PER_SECOND)
    watch.read(2 * NS_PER_SECOND)
    assert host.latest() == HostFigures()
    assert host.absent is not None
    assert set(host.absent) == set(WITNESSES)
    assert all(host.absent.values())


def test_a_clock_that_stands_still_adds_nothing() -> None:
    host = HostTime()
    watch = HostWatch(host, list, KernelCounters())
    watch.read(NS_PER_SECOND)
    watch.read(NS_PER_SECOND)
    assert host.between(0, 100) == {}


def seen(figures: HostFigures, absent: dict[str, str] | None = None) -> HostTime:
    host = HostTime()
    for second in range(60):
        host.add(second, figures, absent or {})
    return host


@pytest.mark.parametrize(
    ("figures", "finding"),
    [
        (HostFigures(capacity_ns=2 * NS_PER_SECOND, stolen_ns=2_000_000), STOLEN),
        (HostFigures(throttled_ns=1), THROTTLED),
        (HostFigures(throttled_periods=1), THROTTLED),
        (HostFigures(run_delay_ns=NS_PER_SECOND // 10), WAITING),
    ],
)
def test_each_taker_of_processors_is_a_finding_with_its_remedy(figures: HostFigures, finding: object) -> None:
    assert find_host_time(seen(figures)) == (finding,)


def test_a_cpu_limit_is_named_as_one_of_this_container() -> None:
    assert THROTTLED.sentence.startswith("a CPU limit of this container holds it back")


def test_an_undisturbed_machine_has_no_finding() -> None:
    quiet = HostFigures(2 * NS_PER_SECOND, 1_900_000, 5_000_000, 0, 0, 0, {0: 0, 1: 0})
    assert find_host_time(seen(quiet)) == ()
    assert find_host_time(HostTime()) == ()


def test_missing_witnesses_are_named_with_their_reasons_and_an_absent_limit_is_none() -> None:
    absent = {"steal": "no column", "throttling": "no CPU limit", "pressure": "no file"}
    (finding,) = find_host_time(seen(HostFigures(), absent))
    assert (finding.code, "steal (no column)" in finding.sentence) == ("HostWitnesses", True)
    assert "throttling" not in finding.sentence

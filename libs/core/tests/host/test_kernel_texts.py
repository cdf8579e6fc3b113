from __future__ import annotations

import pytest

from rtppool_core.host.control_groups import Group, group_of_processors
from rtppool_core.host.kernel_texts import (
    Throttling,
    last_processor,
    pressure_ns,
    processors_online,
    run_delay_ns,
    steal_ns,
    throttling,
)

MS = 1_000_000

PROC_STAT = """\
cpu  2884018 1456514 716209 1023456 20113 0 3019 12345 0 0
cpu0 1442009 728257 358104 511728 10056 0 1509 6172 0 0
cpu1 1442009 728257 358105 511728 10057 0 1510 6173 0 0
intr 12345678 0 0 0
ctxt 998877
"""
V1_STAT = "nr_periods 426\nnr_throttled 371\nthrottled_time 33918273645\nnr_bursts 0\nburst_time 0\n"
V2_STAT = """\
usage_usec 4400123
user_usec 4000000
system_usec 400123
core_sched.force_idle_usec 0
nr_periods 426
nr_throttled 371
throttled_usec 33918273
nr_bursts 0
burst_usec 0
"""
V2_ROOT_STAT = "usage_usec 3569004546\nuser_usec 2887290719\nsystem_usec 681713826\n"
PRESSURE = """\
some avg10=84.75 avg60=94.78 avg300=82.26 total=544150643
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""
# A relay's pod on a node with version 2 and namespaces of control groups (containerd's default).
V2_POD_CGROUP = "0::/\n"
V2_POD_MOUNTS = """\
921 833 0:142 / / ro,relatime master:284 - overlay overlay rw,lowerdir=/a:/b
925 921 0:146 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
926 925 0:31 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate
"""
# The same on version 1: the container sees the node's paths, and each mount begins at its own group.
V1_POD = "/kubepods/burstable/pod5b0f8d1e-11aa-4c3e-9f1d-000000000001/c0ffee"
V1_POD_CGROUP = f"""\
12:pids:{V1_POD}
5:cpu,cpuacct:{V1_POD}
1:name=systemd:{V1_POD}
0::/system.slice/containerd.service
"""
V1_POD_MOUNTS = f"""\
925 921 0:146 / /sys ro,nosuid - sysfs sysfs ro
930 925 0:27 {V1_POD} /sys/fs/cgroup/systemd ro,nosuid master:9 - cgroup cgroup rw,xattr,name=systemd
931 925 0:30 {V1_POD} /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:12 - cgroup cgroup rw,cpu,cpuacct
932 925 0:31 {V1_POD} /sys/fs/cgroup/cpuset ro,nosuid master:13 - cgroup cgroup rw,cpuset
"""
# A service of systemd on a node with version 2.
SERVICE_CGROUP = "0::/system.slice/rtp-relay.service\n"
NODE_MOUNTS = (
    "29 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
)
# A machine that mounts the controllers of version 1, and version 2 without controllers beside them.
HYBRID_CGROUP = "9:name=systemd:/\n2:cpuacct:/lab\n1:cpu:/lab\n0::/\n"
HYBRID_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_stolen_time_is_that_of_all_processors_in_ticks() -> None:
    assert steal_ns(PROC_STAT, ticks_a_second=100) == 12345 * 10 * MS
    assert processors_online(PROC_STAT) == 2


def test_a_kernel_without_the_column_of_stolen_time_has_no_such_witness() -> None:
    assert steal_ns("cpu  1 2 3 4 5 6 7\n", ticks_a_second=100) is None
    assert steal_ns("", ticks_a_second=100) is None


def test_run_delay_is_the_second_column_of_schedstat() -> None:
    assert run_delay_ns("7862 3416592 2\n") == 3416592
    assert run_delay_ns("") is None


@pytest.mark.parametrize("command", ["python", "a b", "x) R 1 (y"])
def test_the_last_processor_is_found_behind_any_command_name(command: str) -> None:
    after = " ".join(["S", *map(str, range(4, 39)), "3", "40", "41"])
    assert last_processor(f"77 ({command}) {after}\n") == 3


def test_a_process_without_statistics_ran_on_no_known_processor() -> None:
    assert last_processor("") is None


def test_throttled_time_is_read_in_the_units_of_each_version() -> None:
    assert throttling(V1_STAT) == Throttling(33_918_273_645, 371)
    assert throttling(V2_STAT) == Throttling(33_918_273_000, 371)


def test_the_root_group_of_version_2_has_no_limit_and_no_counter() -> None:
    assert throttling(V2_ROOT_STAT) is None


def test_a_counter_of_throttled_periods_alone_is_no_witness() -> None:
    assert throttling("nr_periods 1\nnr_throttled 1\n") is None


def test_pressure_is_the_total_of_some() -> None:
    assert pressure_ns(PRESSURE) == 544_150_643_000
    assert pressure_ns("full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n") is None
    assert pressure_ns("") is None


@pytest.mark.parametrize(
    ("cgroup", "mounts", "group"),
    [
        (V2_POD_CGROUP, V2_POD_MOUNTS, Group(2, ("/sys/fs/cgroup",))),
        (V1_POD_CGROUP, V1_POD_MOUNTS, Group(1, ("/sys/fs/cgroup/cpu,cpuacct",))),
        (
            SERVICE_CGROUP,
            NODE_MOUNTS,
            Group(
                2,
                (
                    "/sys/fs/cgroup/system.slice/rtp-relay.service",
                    "/sys/fs/cgroup/system.slice",
                    "/sys/fs/cgroup",
                ),
            ),
        ),
        (HYBRID_CGROUP, HYBRID_MOUNTS, Group(1, ("/sys/fs/cgroup/cpu/lab", "/sys/fs/cgroup/cpu"))),
    ],
    ids=["v2 pod", "v1 pod", "v2 service", "hybrid"],
)
def test_the_group_that_limits_processor_time_is_found(cgroup: str, mounts: str, group: Group) -> None:
    assert group_of_processors(cgroup, mounts) == group


@pytest.mark.parametrize(
    ("cgroup", "mounts"),
    [
        ("", V2_POD_MOUNTS),
        (V2_POD_CGROUP, ""),
        ("0::/../other\n", V2_POD_MOUNTS),
        ("0::/elsewhere\n", V2_POD_MOUNTS.replace("0:31 /", "0:31 /container")),
        ("3:cpuset:/lab\n", HYBRID_MOUNTS),
    ],
    ids=["no groups", "not mounted", "outside the namespace", "another group is mounted", "no controller of time"],
)
def test_a_group_that_is_not_visible_is_not_guessed(cgroup: str, mounts: str) -> None:
    assert group_of_processors(cgroup, mounts) is None


def test_an_escaped_mount_point_is_read_as_it_is() -> None:
    mounts = V2_POD_MOUNTS.replace("/sys/fs/cgroup ", "/sys/fs/my\\040groups ")
    group = group_of_processors(V2_POD_CGROUP, mounts)
    assert group is not None
    assert group.directories == ("/sys/fs/my groups",)

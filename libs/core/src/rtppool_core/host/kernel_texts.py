"""Texts of the kernel about processor time, parsed without I/O. A text without the figure gives None."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from rtppool_core.units import NS_PER_SECOND, NS_PER_US

# proc_stat(5): the columns after a processor's name.
_STEAL = 7
# proc_pid_stat(5): fields after the command's closing parenthesis, which may hold blanks itself.
LAST_PROCESSOR = 36
_OCTAL = re.compile(r"\\([0-7]{3})")
_PROCESSOR_LINE = re.compile(r"cpu\d+$")


class Throttling(NamedTuple):
    """Since a control group was made: the time for which its CPU limit stopped it, and the periods that did so.

    The kernel adds up the time of all processors.
    """

    throttled_ns: int
    periods: int


class Group(NamedTuple):
    """A mounted control group: where its files are, and those of its parents up to the mount's root."""

    version: int
    directories: tuple[str, ...]


def steal_ns(proc_stat: str, ticks_a_second: int) -> int | None:
    """Return the time that the hypervisor took of all processors, from /proc/stat."""
    for line in proc_stat.splitlines():
        name, *columns = line.split()
        if name == "cpu" and len(columns) > _STEAL:
            return int(columns[_STEAL]) * NS_PER_SECOND // ticks_a_second
    return None


def processors_online(proc_stat: str) -> int:
    """Return the number of processors in /proc/stat."""
    return sum(_PROCESSOR_LINE.match(line.partition(" ")[0]) is not None for line in proc_stat.splitlines())


def run_delay_ns(schedstat: str) -> int | None:
    """Return how long a thread has waited for a processor since it was made, from /proc/PID/schedstat."""
    columns = schedstat.split()
    return int(columns[1]) if len(columns) > 1 else None


def last_processor(proc_pid_stat: str) -> int | None:
    """Return the processor on which a thread ran last, from /proc/PID/stat."""
    fields = proc_pid_stat.rpartition(")")[2].split()
    return int(fields[LAST_PROCESSOR]) if len(fields) > LAST_PROCESSOR else None


def throttling(cpu_stat: str) -> Throttling | None:
    """Return the counters of a cpu.stat, of either version; None for a root group, which has no limit."""
    counters = {name: int(value) for name, value in _pairs(cpu_stat)}
    periods = counters.get("nr_throttled")
    if periods is None:
        return None
    if "throttled_usec" in counters:
        return Throttling(counters["throttled_usec"] * NS_PER_US, periods)
    if "throttled_time" in counters:
        return Throttling(counters["throttled_time"], periods)
    return None


def pressure_ns(pressure: str) -> int | None:
    """Return the time in which some process waited, from a pressure file."""
    for line in pressure.splitlines():
        kind, *pairs = line.split()
        values = dict(pair.partition("=")[::2] for pair in pairs)
        if kind == "some" and "total" in values:
            return int(values["total"]) * NS_PER_US
    return None


def group_of_processors(proc_cgroup: str, mountinfo: str) -> Group | None:
    """Return the control group that limits a process's processor time; None where it is not mounted.

    `proc_cgroup` is /proc/PID/cgroup, `mountinfo` /proc/PID/mountinfo. The controller is in version 1 or in version 2,
    and both may be mounted. A mount of a container often begins at the container's own group.
    """
    for version in (1, 2):
        path = _path_in_group(proc_cgroup, version)
        if path is None:
            continue
        for root, mount_point in _mounts(mountinfo, version):
            directories = _directories(path, root, mount_point)
            if directories:
                return Group(version, directories)
    return None


def _path_in_group(proc_cgroup: str, version: int) -> str | None:
    for line in proc_cgroup.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_v2 = number == "0" and not controllers
        if is_v2 if version == 2 else "cpu" in controllers.split(","):  # noqa: PLR2004 the version's number
            return path
    return None


def _mounts(mountinfo: str, version: int) -> Iterator[tuple[str, str]]:
    """Yield root and mount point of each mount, as proc_pid_mountinfo(5) describes them."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:  # noqa: PLR2004 the fields that every line has
            continue
        is_v1 = kind[0] == "cgroup" and "cpu" in kind[-1].split(",")
        if is_v1 if version == 1 else kind[0] == "cgroup2":
            yield _unescaped(fields[3]), _unescaped(fields[4])


def _directories(path: str, root: str, mount_point: str) -> tuple[str, ...]:
    """Return the group's directory and its parents up to the mount point; none where the mount does not show it."""
    parts = PurePosixPath(path)
    # With "..", the group lies outside the namespace of control groups that this process sees.
    if ".." in parts.parts or not parts.is_relative_to(root):
        return ()
    inside = PurePosixPath(mount_point) / parts.relative_to(root)
    directories = (inside, *inside.parents)
    return tuple(str(each) for each in directories if each.is_relative_to(mount_point))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            yield name, value


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)

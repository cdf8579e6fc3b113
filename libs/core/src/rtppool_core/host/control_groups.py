"""The control group that limits a process, parsed from texts of the kernel without I/O.

It is apart from `kernel_texts`, because a heartbeat needs those alone and has little memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

_OCTAL = re.compile(r"\\([0-7]{3})")


class Group(NamedTuple):
    """A mounted control group: where its files are, and those of its parents up to the mount's root."""

    version: int
    directories: tuple[str, ...]


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


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)

"""Facts about this machine that decide how the cluster is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lab.base.errors import LabError

CAP_SYS_RESOURCE = 24  # its bit, capabilities(7)
SOURCE_LIST_WORDS = 3  # deb URL SUITE
APT_SOURCES = Path("/etc/apt")
TRUSTED_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Machine:
    """The rights and features of this machine."""

    is_root: bool
    has_apt: bool
    may_raise_limits: bool
    """Whether root can have CAP_SYS_RESOURCE. Without it runc and the kubelet must not ask for it."""
    has_cgroup_v2: bool

    @property
    def may_install(self) -> bool:
        """Whether Debian packages can be installed here."""
        return self.is_root and self.has_apt


def inspect_machine() -> Machine:
    """Read the facts from the running system."""
    return Machine(
        is_root=os.geteuid() == 0,
        has_apt=shutil.which("apt-get") is not None,
        may_raise_limits=has_capability(Path("/proc/self/status").read_text(), CAP_SYS_RESOURCE),
        has_cgroup_v2=Path("/sys/fs/cgroup/cgroup.controllers").exists(),
    )


def has_capability(status: str, bit: int) -> bool:
    """Return whether the bounding set in the text of /proc/PID/status has `bit`.

    The bounding set is the upper limit of root's rights, and is the same for a user who may only use the engine.
    """
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapBnd":
            return bool(int(value, 16) >> bit & 1)
    return False


def debian_mirror() -> str:
    """Return the address of the Debian archive that apt uses here.

    Raises:
        LabError: apt has no Debian archive.
    """
    files = [*sorted((APT_SOURCES / "sources.list.d").glob("*.sources")), APT_SOURCES / "sources.list"]
    files += sorted((APT_SOURCES / "sources.list.d").glob("*.list"))
    for file in files:
        if file.exists() and (found := first_debian_address(file.read_text().splitlines())):
            return found
    raise LabError(
        f"images: no Debian archive (an http address that ends in /debian) is in {APT_SOURCES}; add one, "
        "or run this where Docker can pull images"
    )


def first_debian_address(lines: Iterable[str]) -> str | None:
    """Return the main archive's address from apt sources in either format, `URIs: …` or `deb … suite`."""
    for line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "URIs:":
            candidates = words[1:]
        elif words[0] == "deb" and len(words) >= SOURCE_LIST_WORDS:
            candidates = [word for word in words[1:] if "://" in word]
        else:
            continue
        for candidate in candidates:
            url = urlsplit(candidate)
            if url.scheme in {"http", "https"} and url.path.rstrip("/").endswith("/debian"):
                return candidate.rstrip("/")
    return None

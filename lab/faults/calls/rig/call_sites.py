"""The sites at which relay and echo ask the kernel for descriptors, processes or memory, and errors injected there.

`call_sites.c` is loaded into every Python program of the rig. It lists the sites, and lets calls of one of them fail.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.base.compiler import run_compiler
from lab.base.errors import LabError

SOURCE = Path(__file__).with_suffix(".c")
_CONTROL = struct.Struct("=QQIIII")  # site, until_ns, error, generation, hits, unused
_SITE_BYTES = 8
BY_TURNS = 0  # EMFILE, then ENOMEM, then EMFILE


@dataclass(frozen=True, slots=True)
class Site:
    """A call site: the program's module, the function of the C library, and the Python frames of the call."""

    key: int
    role: str
    function: str
    frames: str

    def __str__(self) -> str:
        """Return the site as one line."""
        return f"{self.function} in {self.role}: {self.frames}"


class CallSites:
    """The library and its control file in `folder`; `variables` load it into a program."""

    def __init__(self, folder: Path) -> None:
        self._library = _compile(folder)
        self._path = folder / "call-sites"
        self._path.write_bytes(bytes(mmap.PAGESIZE))
        with self._path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._generation = 0

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment of the programs."""
        return {"LD_PRELOAD": str(self._library), "CALL_SITES": str(self._path)}

    @property
    def hits(self) -> int:
        """The calls that failed since the last `failing`."""
        return int(_CONTROL.unpack_from(self._memory)[4])

    def all_listed(self) -> list[Site]:
        """Return every site so far, sorted."""
        return sorted({_site(line) for line in self._lines()}, key=str)

    @contextmanager
    def list_reached(self, sites: list[Site]) -> Iterator[None]:
        """Add every site that is reached in the length of the block to `sites`, sorted."""
        offset = len(self._lines())
        self._generation += 1
        self._write(0, 0, 0)
        yield
        found = {each.key: each for each in map(_site, self._lines()[offset:])}
        sites += sorted(found.values(), key=str)

    @contextmanager
    def failing(self, site: Site, error: int, seconds: float | None = None) -> Iterator[None]:
        """Let calls of a site fail with `error`: the next one, or all of so many seconds."""
        until = 0 if seconds is None else time.monotonic_ns() + round(seconds * 1e9)
        self._write(site.key, until, error)
        try:
            yield
        finally:
            self._memory[:_SITE_BYTES] = bytes(_SITE_BYTES)

    def _write(self, site: int, until_ns: int, error: int) -> None:
        """Write everything before the site, which arms it."""
        whole = _CONTROL.pack(site, until_ns, error, self._generation, 0, 0)
        self._memory[_SITE_BYTES : _CONTROL.size] = whole[_SITE_BYTES:]
        self._memory[:_SITE_BYTES] = whole[:_SITE_BYTES]

    def _lines(self) -> list[str]:
        listed = self._path.with_suffix(".sites")
        return listed.read_text().splitlines() if listed.exists() else []


def _compile(folder: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise LabError("no C compiler (cc); install one, for example: apt-get install gcc libc6-dev")
    return run_compiler([compiler, "-O2", "-shared", "-fPIC"], folder / "call_sites.so", SOURCE, ["-ldl"])


def _site(line: str) -> Site:
    key, role, function, frames = line.split("\t")
    return Site(int(key, 16), role, function, frames)

"""Description of the machine that figures were measured on, from /proc and Python."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

KIBIBYTES_A_MEBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """`load` is the one-minute load average at `began`: above 0.5 the machine was busy with other work.

    `memory_mebibytes` is None where the kernel does not report it.
    """

    processor: str
    cores: int
    kernel: str
    python: str
    load: float
    began: str
    memory_mebibytes: int | None = None


def this_machine() -> Machine:
    """Describe this machine at this moment."""
    return Machine(
        processor=processor_of(Path("/proc/cpuinfo").read_text(encoding="utf-8")) or platform.machine(),
        cores=os.cpu_count() or 1,
        kernel=platform.release(),
        python=platform.python_version(),
        load=load_average(),
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        memory_mebibytes=memory_mebibytes_of(Path("/proc/meminfo").read_text(encoding="utf-8")),
    )


def load_average() -> float:
    """Return the one-minute load average."""
    return round(os.getloadavg()[0], 2)


def processor_of(cpuinfo: str) -> str | None:
    """Return the processor's name in /proc/cpuinfo; None where there is none (some arm64)."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"} and value.strip():
            return value.strip()
    return None


def memory_mebibytes_of(meminfo: str) -> int | None:
    """Return MemTotal of /proc/meminfo (proc_meminfo(5): in kibibytes, labelled kB)."""
    for line in meminfo.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "MemTotal:" and words[1].isdecimal():  # noqa: PLR2004 name and number
            return int(words[1]) // KIBIBYTES_A_MEBIBYTE
    return None

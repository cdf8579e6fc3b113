from __future__ import annotations

import pytest

from rtppool_core.process.machine import memory_mebibytes_of, processor_of, this_machine

X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 106\nmodel name\t: A Processor @ 2.60GHz\n"
BOARD = "processor\t: 0\nBogoMIPS\t: 108.00\n\nHardware\t: BCM2835\nModel\t\t: A Small Board\n"


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [(X86, "A Processor @ 2.60GHz"), (BOARD, "A Small Board"), ("processor\t: 0\nBogoMIPS\t: 50\n", None), ("", None)],
)
def test_the_processor_is_named_as_the_kernel_names_it(cpuinfo: str, name: str | None) -> None:
    assert processor_of(cpuinfo) == name


@pytest.mark.parametrize(
    ("meminfo", "mebibytes"),
    [("MemTotal:       16384000 kB\nMemFree: 1 kB\n", 16000), ("MemFree: 1 kB\n", None), ("MemTotal: much kB\n", None)],
)
def test_memory_is_told_in_mebibytes_or_not_at_all(meminfo: str, mebibytes: int | None) -> None:
    assert memory_mebibytes_of(meminfo) == mebibytes


def test_this_machine_has_a_name_and_cores() -> None:
    machine = this_machine()
    assert machine.processor
    assert machine.cores >= 1
    assert machine.began.endswith("+00:00")

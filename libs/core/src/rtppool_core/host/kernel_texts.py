"""Texts of the kernel about processor time, parsed without I/O. A text without the figure gives None."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rtppool_core.units import NS_PER_SECOND, NS_PER_US

# proc_stat(5): the columns after a processor's name.
_STEAL = 7
# proc_pid_stat(5): fields after the command's closing parenthesis, which may hold blanks itself.
LAST_PROCESSOR = 36


class Throttling(NamedTuple):
    """Since a control group was made: the time for which its CPU limit stopped it, and the periods that did so.

    The kernel adds up the time of all processors.
    """

    throttled_ns: int
    periods: int


def steal_ns(proc_stat: str, ticks_a_second: int) -> int | None:
    """Return the time that the hypervisor took of all processors, from /proc/stat."""
    for line in proc_stat.splitlines():
        name, *columns = line.split()
        if name == "cpu" and len(columns) > _STEAL:
            return int(columns[_STEAL]) * NS_PER_SECOND // ticks_a_second
    return None


def processors_online(proc_stat: str) -> int:
    """Return the number of processors in /proc/stat."""
    names = (line.partition(" ")[0] for line in proc_stat.splitlines())
    return sum(name.startswith("cpu") and name[3:].isdecimal() for name in names)


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


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            yield name, value

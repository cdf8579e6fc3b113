"""Compilation of all machine code: `python -m rtppool_echo.reflector.compile_ahead`, by `make setup`.

A reflecting process compiles it before it receives. Where the cache has the machine code, that loads it.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

from rtppool_echo.reflector.entry_points import answer, fill_waiting, judge, reflect
from rtppool_echo.reflector.memory import ReflectorMemory, Rules
from rtppool_echo.workers.counters import WORD_BYTES, WORDS

NO_DESCRIPTOR = -1


def compile_process() -> None:
    """Call each function of a reflecting process once, without a datagram and without a valid descriptor."""
    memory = _scratch_memory()
    reflect(memory.address)
    answer(memory.address)


def compile_parts() -> None:
    """Call the functions of tests once: the work on a batch, without system calls."""
    memory = _scratch_memory()
    judge(memory.address, 0, 0)
    fill_waiting(memory.address, 0)


def _scratch_memory() -> ReflectorMemory:
    counters = memoryview(bytearray(WORD_BYTES * WORDS)).cast("Q")
    return ReflectorMemory(NO_DESCRIPTOR, socket.AF_INET, counters, Rules(own_port=0), stamped=True)


def main() -> int:
    """Compile and print the duration. With `--kept` return 1 when the cache missed a function."""
    started = time.monotonic()
    compile_process()
    compile_parts()
    called: tuple[Any, ...] = (answer, fill_waiting, judge, reflect)
    compiled_now = sum(function.stats.cache_misses.total() for function in called)
    print(f"echo: {compiled_now} functions compiled, in {time.monotonic() - started:.1f} s")  # noqa: T201
    return 1 if compiled_now and "--kept" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())

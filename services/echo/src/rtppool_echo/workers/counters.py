"""Counters that reflecting processes write and the control process reads: words of one shared memory (a memfd).

Each process has words of its own and is their only writer. They outlive the process, so that its successor continues.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

from rtppool_echo.rules.refusals import REASONS

ALIVE_AT_NS = 0
ANSWERED_PACKETS = 1
ANSWERED_BYTES = 2
# A word for each reason, by its place in `REASONS`.
FIRST_REASON = 3
WORD_OF_REASON = {reason: FIRST_REASON + at for at, reason in enumerate(REASONS)}
WORDS = 32
# 1 from the first sender on that is on another machine.
ASKED_FROM_ELSEWHERE = WORDS - 1
WORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Figures:
    """Since start: answered packets and their bytes, and dropped datagrams by reason."""

    answered_packets: int
    answered_bytes: int
    dropped: dict[str, int]


class Counters:
    """The shared memory of all workers."""

    def __init__(self, workers: int) -> None:
        size = workers * WORDS * WORD_BYTES
        self.descriptor = os.memfd_create("rtp-echo-counters", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, size)
        self._memory = mmap.mmap(self.descriptor, size)
        self._workers = workers

    def words(self, worker: int) -> memoryview:
        """Return the words of a worker."""
        return words_of(self._memory, worker)

    def alive_at_ns(self, worker: int) -> int:
        """Return the monotonic time of a worker's last sign of life; 0 before the first, and after an exit."""
        with self.words(worker) as words:
            return int(words[ALIVE_AT_NS])

    def clear_alive(self, worker: int) -> None:
        """Forget the last sign of life of a worker whose process has exited."""
        with self.words(worker) as words:
            words[ALIVE_AT_NS] = 0

    def is_asked_from_elsewhere(self) -> bool:
        """Return whether a sender on another machine was answered since start."""
        for worker in range(self._workers):
            with self.words(worker) as words:
                if words[ASKED_FROM_ELSEWHERE]:
                    return True
        return False

    def total(self) -> Figures:
        """Return the sums over all workers."""
        sums = [0] * WORDS
        for worker in range(self._workers):
            with self.words(worker) as words:
                sums = [total + word for total, word in zip(sums, words, strict=True)]
        dropped = {reason: sums[word] for reason, word in WORD_OF_REASON.items()}
        return Figures(sums[ANSWERED_PACKETS], sums[ANSWERED_BYTES], dropped)

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()
        os.close(self.descriptor)


def words_of(memory: mmap.mmap, worker: int) -> memoryview:
    """Return the words of a worker in a mapped memory."""
    with memoryview(memory) as whole, whole.cast("Q") as words:
        return words[worker * WORDS : (worker + 1) * WORDS]

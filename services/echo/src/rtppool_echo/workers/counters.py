"""Figures that a reflecting process writes and the control process reads: words of one shared memory (a memfd).

Each process has its own words and is their only writer; they outlive it, so that its successor counts on.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass

from rtppool_echo.rules.reflection import REASONS

# The first three are written together, in this order.
ALIVE_AT_NS = 0
ANSWERED_PACKETS = 1
ANSWERED_BYTES = 2
WORD_OF_REASON = {reason: 3 + at for at, reason in enumerate(REASONS)}
WORDS = 32
WORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Figures:
    """Since start: answered packets and their bytes, and what was dropped, by reason."""

    answered_packets: int
    answered_bytes: int
    dropped: dict[str, int]


class Tally:
    """One worker's figures while it counts. Everything counts as answered until it is taken back."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._first_words = words.cast("B")
        # Native, so that each word is whole whenever it is read.
        self._write = struct.Struct("QQQ").pack_into
        self._packets = int(words[ANSWERED_PACKETS])
        self._octets = int(words[ANSWERED_BYTES])

    def take_back(self, reason: str, octets: int) -> None:
        """Count one of these packets as dropped for a reason instead."""
        self._packets -= 1
        self._octets -= octets
        self._words[WORD_OF_REASON[reason]] += 1

    def count(self, now_ns: int, packets: int, octets: int) -> None:
        """Count packets, `octets` long together, as answered, and say that the worker lives at `now_ns` (monotonic)."""
        self._packets += packets
        self._octets += octets
        self._write(self._first_words, 0, now_ns, self._packets, self._octets)


class Counters:
    """The words of all workers."""

    def __init__(self, workers: int) -> None:
        size = workers * WORDS * WORD_BYTES
        self.descriptor = os.memfd_create("rtp-echo-counters", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, size)
        self._memory = mmap.mmap(self.descriptor, size)
        self._workers = workers

    def words(self, worker: int) -> memoryview:
        """One worker's words."""
        return words_of(self._memory, worker)

    def alive_at_ns(self, worker: int) -> int:
        """When a worker last said that it lives, on the monotonic clock; 0 when it has not yet, or has exited."""
        with self.words(worker) as words:
            return int(words[ALIVE_AT_NS])

    def clear_alive(self, worker: int) -> None:
        """Forget the last sign of life of a worker whose process has exited."""
        with self.words(worker) as words:
            words[ALIVE_AT_NS] = 0

    def total(self) -> Figures:
        """The sum over all workers."""
        sums = [0] * WORDS
        for worker in range(self._workers):
            with self.words(worker) as words:
                sums = [total + word for total, word in zip(sums, words, strict=True)]
        dropped = {reason: sums[word] for reason, word in WORD_OF_REASON.items()}
        return Figures(sums[ANSWERED_PACKETS], sums[ANSWERED_BYTES], dropped)

    def close(self) -> None:
        """Let the memory go."""
        self._memory.close()
        os.close(self.descriptor)


def words_of(memory: mmap.mmap, worker: int) -> memoryview:
    """One worker's words of a mapped memory."""
    with memoryview(memory) as whole, whole.cast("Q") as words:
        return words[worker * WORDS : (worker + 1) * WORDS]

"""Counters that reflecting processes write and the control process reads: words of one shared memory (a memfd).

Each process has words of its own and is their only writer. They outlive the process, so that its successor continues.
"""

from __future__ import annotations

import ipaddress
import mmap
import os
import struct
from dataclasses import dataclass

from rtppool_core.net.local_address import is_local_address
from rtppool_echo.rules.refusals import REASONS

# The first three are written together, in this order.
ALIVE_AT_NS = 0
ANSWERED_PACKETS = 1
ANSWERED_BYTES = 2
WORD_OF_REASON = {reason: 3 + at for at, reason in enumerate(REASONS)}
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


class Tally:
    """Counts for one worker. Every packet counts as answered until it is taken back."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._first_words = words.cast("B")
        # Native, so that each word is whole whenever it is read.
        self._write = struct.Struct("QQQ").pack_into
        self._packets = int(words[ANSWERED_PACKETS])
        self._octets = int(words[ANSWERED_BYTES])

    def note_sender(self, address: bytes) -> None:
        """Record whether the packed address of a new sender is that of another machine."""
        if not self._words[ASKED_FROM_ELSEWHERE] and not is_local_address(str(ipaddress.ip_address(address))):
            self._words[ASKED_FROM_ELSEWHERE] = 1

    def take_back(self, reason: str, octets: int) -> None:
        """Count a packet as dropped for a reason instead of answered."""
        self._packets -= 1
        self._octets -= octets
        self._words[WORD_OF_REASON[reason]] += 1

    def count(self, now_ns: int, packets: int, octets: int) -> None:
        """Count packets of `octets` bytes in total as answered, and record `now_ns` (monotonic) as a sign of life."""
        self._packets += packets
        self._octets += octets
        self._write(self._first_words, 0, now_ns, self._packets, self._octets)


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

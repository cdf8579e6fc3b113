"""Stalls and waits of a processor right now, for a packet process that asks at each packet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rtppool_core.host.beat_words import DUE, EVENT_COUNT, MAX_EVENTS
from rtppool_core.host.beats_memory import Block, stall_in_progress
from rtppool_core.host.intervals import Interval, overlap_ns, united


class StallLookup:
    """Reads the heartbeats' memory of one machine for one process.

    `words` is that memory in 64-bit words, and `processors` are the watched ones in its order. `own_cpu_ns` is the CPU
    clock of the asking process, whose id is `pid`.
    """

    def __init__(
        self,
        words: memoryview,
        processors: Sequence[int],
        pid: int,
        own_cpu_ns: Callable[[], int] = time.process_time_ns,
    ) -> None:
        self._blocks = {processor: Block(words, at, processor) for at, processor in enumerate(processors)}
        self._pid = pid
        self._own_cpu_ns = own_cpu_ns

    def taken_ns(self, processor: int, start_ns: int, now_ns: int) -> int | None:
        """Return how much of the time from `start_ns` until now was taken from a processor (CLOCK_MONOTONIC).

        None: no heartbeat watches the processor.
        """
        block = self._blocks.get(processor)
        if block is None or not block.words[DUE]:
            return None
        taken = self._recent(block, start_ns)
        in_progress = stall_in_progress(block, now_ns)
        if in_progress is not None:
            taken.append((in_progress[0], now_ns - self._ran_ns(block)))
        return overlap_ns(united(taken), start_ns, now_ns) if taken else 0

    def _recent(self, block: Block, start_ns: int) -> list[Interval]:
        """Return the events that ended after `start_ns`, the latest first."""
        taken: list[Interval] = []
        count = block.words[EVENT_COUNT]
        for number in range(count - 1, max(-1, count - MAX_EVENTS), -1):
            event = block.event(number)
            if event.end_ns <= start_ns:
                break
            if event.processor == block.processor:
                taken.append((event.start_ns, event.end_ns))
        return taken

    def _ran_ns(self, block: Block) -> int:
        """Return the CPU time of the asking process since a heartbeat last read it; 0 where none reads it."""
        clock_ns = block.latest_clocks().get(self._pid)
        return 0 if clock_ns is None else max(0, self._own_cpu_ns() - clock_ns)

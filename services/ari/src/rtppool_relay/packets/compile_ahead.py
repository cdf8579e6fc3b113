"""Compilation of all machine code: `python -m rtppool_relay.packets.compile_ahead`, by `make setup`.

A media process compiles its part before its first answer. Where the cache has the machine code, that loads it.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from rtppool_core.host.beat_words import BLOCK_WORDS
from rtppool_relay.packets.departure_stamps import collect_stamps
from rtppool_relay.packets.entry_points import NO_DESCRIPTOR, scratch_media
from rtppool_relay.packets.heartbeat import beat
from rtppool_relay.packets.joining import begin_call, link, resume, set_echo, unlink
from rtppool_relay.packets.packet_path import drain_queued, expect, forward


def compile_ahead() -> None:
    """Call each function of a media process once, on scratch memory and without a valid descriptor."""
    media = scratch_media()
    begin_call(media, 0, NO_DESCRIPTOR, 0, 0, 0, 0, 0, 0)
    set_echo(media, 0, NO_DESCRIPTOR)
    link(media, 0, 0, 0, 0)
    unlink(media, 0)
    resume(media, 0)
    expect(media, 0, 0)
    collect_stamps(media, NO_DESCRIPTOR)
    drain_queued(media, 0)
    forward(media)


def compile_heartbeat() -> None:
    """Call a heartbeat's loop once, for no beat."""
    beat(np.zeros(BLOCK_WORDS, np.int64))


def main() -> int:
    """Compile and print the duration. With `--kept` return 1 when the cache missed a function."""
    started = time.monotonic()
    compile_ahead()
    compile_heartbeat()
    called: tuple[Any, ...] = (
        *(beat, begin_call, collect_stamps, drain_queued, expect, forward, link, resume, set_echo, unlink),
    )
    compiled_now = sum(function.stats.cache_misses.total() for function in called)
    print(f"packet path: {compiled_now} functions compiled, in {time.monotonic() - started:.1f} s")  # noqa: T201
    return 1 if compiled_now and "--kept" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())

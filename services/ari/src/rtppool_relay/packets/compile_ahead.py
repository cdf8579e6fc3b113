"""Compilation of all code of a media process: `python -m rtppool_relay.packets.compile_ahead`, at image build.

A media process does the same before its first answer. Where the cache has the machine code, that loads it.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from rtppool_relay.media.rows import SLOT_BYTES
from rtppool_relay.packets.departure_stamps import collect_stamps
from rtppool_relay.packets.memory import lay_out
from rtppool_relay.packets.packet_path import drain_queued, expect, forward

_NO_DESCRIPTOR = -1
# Machine code depends on the arrays' types: the rows of a single slot would be one contiguous array.
_SLOTS = 2


def compile_ahead() -> None:
    """Call each entry point once, on scratch memory and without a valid descriptor."""
    media = lay_out(bytearray(_SLOTS * SLOT_BYTES), _SLOTS, _NO_DESCRIPTOR, _NO_DESCRIPTOR)
    media.calls["asterisk"] = _NO_DESCRIPTOR
    expect(media, 0, 0)
    collect_stamps(media, _NO_DESCRIPTOR)
    drain_queued(media, 0)
    forward(media)


def main() -> int:
    """Compile and print the duration. With `--kept` return 1 when the cache missed a function."""
    started = time.monotonic()
    compile_ahead()
    called: tuple[Any, ...] = (collect_stamps, drain_queued, expect, forward)
    compiled_now = sum(function.stats.cache_misses.total() for function in called)
    print(f"packet path: {compiled_now} functions compiled, in {time.monotonic() - started:.1f} s")  # noqa: T201
    return 1 if compiled_now and "--kept" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())

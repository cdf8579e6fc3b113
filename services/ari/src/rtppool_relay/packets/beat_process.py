"""The heartbeat of a relay: its loop is machine code. Its arguments are those of `rtppool_core.host.beat_process`."""

from __future__ import annotations

import sys

from rtppool_core.host.beat_process import Beat, run
from rtppool_relay.media.library_file import LIBRARY

# A stall between two beats is not seen. All are seen that last for this period and `MIN_STALL_NS`, some of the shorter
# ones not. Those of less than 3 ms make no packet late, and a shorter period costs more.
PERIOD_NS = 3_500_000
CLOCKS_EVERY = 2


if LIBRARY.exists():
    # As in an image. A heartbeat without numpy is small.
    from rtppool_relay.packets.library import Library

    loop = Library(LIBRARY).beat
else:
    import numpy as np

    from rtppool_relay.packets.heartbeat import beat

    def loop(words: memoryview) -> int:
        """Run the loop on the words of a block."""
        return beat(np.frombuffer(words, np.int64))


if __name__ == "__main__":
    sys.exit(run(Beat(loop, PERIOD_NS, CLOCKS_EVERY)))

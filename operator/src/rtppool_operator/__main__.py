"""`python -m rtppool_operator`: what `kopf run -m rtppool_operator.handlers` does, and goes on when kopf ends."""

from __future__ import annotations

import os
import sys

from rtppool_core.process.service import Stop, run
from rtppool_operator import handlers  # noqa: F401 importing them registers them
from rtppool_operator.app import start


async def serve(stop: Stop) -> None:
    """Run until asked to stop.

    Raises:
        SettingsError: the environment can't be used.
        ListenError: the HTTP port is taken.
    """
    running = await start(os.environ)
    running.watch_pools()
    await stop.asked.wait()
    await running.end()


if __name__ == "__main__":
    sys.exit(run("rtp-operator", serve))

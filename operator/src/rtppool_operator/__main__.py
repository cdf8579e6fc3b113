"""`python -m rtppool_operator`: as `kopf run -m rtppool_operator.handlers`, but it survives an end of kopf."""

from __future__ import annotations

import os
import sys

from rtppool_core.process.descriptor_limit import raise_descriptor_limit
from rtppool_core.process.service import Stop, run
from rtppool_operator import handlers  # noqa: F401 the import registers them
from rtppool_operator.app import start


async def serve(stop: Stop) -> None:
    """Run until a signal asks to stop.

    Raises:
        SettingsError: a setting or the CRD file is invalid.
        ListenError: the HTTP port is taken.
    """
    app = await start(os.environ)
    app.watch_pools()
    await stop.asked.wait()
    await app.stop()


if __name__ == "__main__":
    raise_descriptor_limit()
    sys.exit(run("rtp-operator", serve))

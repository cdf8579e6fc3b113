"""`python -m rtppool_operator`: as `kopf run -m rtppool_operator.handlers`, but it survives an end of kopf."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from rtppool_core.process.early_stop import exit_on_signals

if TYPE_CHECKING:
    from rtppool_core.process.service import Stop

# The reports of thousands of relays are a million objects, and a whole collection stops the program for all of them.
COLLECT_AFTER = (50_000, 20, 10)


async def serve(stop: Stop) -> None:
    """Run until a signal asks to stop.

    Raises:
        SettingsError: a setting or the CRD file is invalid.
        ListenError: the HTTP port is taken.
        StartError: no cluster is configured.
    """
    from rtppool_core.process.service import StartError  # noqa: PLC0415
    from rtppool_operator import handlers  # noqa: F401, PLC0415 the import registers them
    from rtppool_operator.app import start  # noqa: PLC0415
    from rtppool_operator.kube.api_server import ClusterError  # noqa: PLC0415

    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        app = await start(os.environ)
    except ClusterError as error:
        raise StartError(str(error)) from error
    stop.begin_serving()
    app.watch_pools(stop.begin_serving)
    await stop.asked.wait()
    await app.stop()


def main() -> int:
    """Run the operator and return its exit code."""
    exit_on_signals()
    # Imported under the signal handlers.
    from rtppool_core.process.descriptor_limit import raise_descriptor_limit  # noqa: PLC0415
    from rtppool_core.process.service import run  # noqa: PLC0415

    raise_descriptor_limit()
    return run("rtp-operator", serve, exit_before_serving=True)


if __name__ == "__main__":
    sys.exit(main())

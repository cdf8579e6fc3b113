"""`python -m rtppool_operator`: what `kopf run -m rtppool_operator.handlers` does, with our logs and exit codes."""

from __future__ import annotations

import os
import sys

import kopf

from rtppool_core import logs
from rtppool_core.service import Stop, run
from rtppool_operator import handlers  # noqa: F401 importing them registers them
from rtppool_operator.settings import read_settings


async def serve(stop: Stop) -> None:
    """Run until asked to stop.

    Raises:
        SettingsError: the environment can't be used.
    """
    settings = read_settings(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    await kopf.operator(
        registry=kopf.get_default_registry(),
        # kopf's own guess asks for the user's name, which a container's number has not.
        identity=f"{settings.namespace}/{settings.pod_name}",  # type: ignore[arg-type] # kopf does not export the type
        clusterwide=True,
        standalone=True,
        stop_flag=stop.asked,
        memo=kopf.Memo(),
    )


if __name__ == "__main__":
    sys.exit(run("rtp-operator", serve))

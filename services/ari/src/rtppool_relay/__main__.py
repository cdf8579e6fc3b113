"""`python -m rtppool_relay`."""

import os
import sys
from functools import partial

from rtppool_relay.media.launch import start_first_media_process
from rtppool_relay.ports.descriptor_limit import raise_descriptor_limit


def main() -> int:
    """Run the relay. Returns the exit code."""
    raise_descriptor_limit()  # which a process inherits
    # Read before there are settings, which refuse what is none of their words.
    fair = os.environ.get("MEDIA_SCHEDULING", "").strip().lower() == "fair"
    first = start_first_media_process(real_time=not fair)
    # Loaded while the media process starts.
    from rtppool_core.process.service import run  # noqa: PLC0415
    from rtppool_relay.app import serve  # noqa: PLC0415

    return run("rtp-relay", partial(serve, first=first))


if __name__ == "__main__":
    sys.exit(main())

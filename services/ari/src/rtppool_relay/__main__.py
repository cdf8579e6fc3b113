"""`python -m rtppool_relay`."""

import os
import sys
from functools import partial
from typing import NoReturn

from rtppool_core.process.early_stop import exit_on_signals
from rtppool_core.process.host_check import require_executable_memory, require_linux
from rtppool_core.process.quick_imports import quick_imports

NAME = "rtp-relay"


def main() -> int:
    """Run the relay and return its exit code."""
    exit_on_signals()
    # Inherited by all processes. numpy would start a thread for each further processor to multiply matrices. Such a
    # thread costs a third of numpy's start, and the relay multiplies none.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    require_linux(NAME)
    # Imported under the signal handlers, and where the system has all that they need.
    from rtppool_core.process.descriptor_limit import raise_descriptor_limit  # noqa: PLC0415
    from rtppool_relay.media.launch import start_first_media_process  # noqa: PLC0415
    from rtppool_relay.media.library_file import LIBRARY  # noqa: PLC0415

    if not LIBRARY.exists():
        require_executable_memory(NAME)  # for numba
    raise_descriptor_limit()  # child processes inherit it
    # Read early, before settings are parsed and validated.
    fair = os.environ.get("MEDIA_SCHEDULING", "").strip().lower() == "fair"
    first = start_first_media_process(real_time=not fair)
    # Imported while the media process starts.
    with quick_imports():
        from rtppool_core.process.service import run  # noqa: PLC0415
        from rtppool_relay.app import serve  # noqa: PLC0415

    return run(NAME, partial(serve, first=first), exit_before_serving=True)


def exit_at_once(code: int) -> NoReturn:
    """End without taking the interpreter down, which lasts as long as a packet's interval: the next relay waits."""
    import logging  # noqa: PLC0415 loaded by now

    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    exit_at_once(main())

"""`python -m rtppool_echo`."""

import sys

from rtppool_core.process.early_stop import exit_on_signals
from rtppool_core.process.host_check import require_executable_memory, require_linux

NAME = "rtp-echo"


def main() -> int:
    """Run the echo and return its exit code."""
    exit_on_signals()
    require_linux(NAME)
    # Imported under the signal handlers, and where the system has all that they need.
    from rtppool_core.process.descriptor_limit import raise_descriptor_limit  # noqa: PLC0415
    from rtppool_core.process.service import run  # noqa: PLC0415
    from rtppool_echo.app import serve  # noqa: PLC0415
    from rtppool_echo.library_file import LIBRARY  # noqa: PLC0415

    if not LIBRARY.exists():
        require_executable_memory(NAME)  # for numba
    raise_descriptor_limit()  # reflecting processes inherit it
    return run(NAME, serve, exit_before_serving=True)


if __name__ == "__main__":
    sys.exit(main())

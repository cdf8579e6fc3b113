"""`python -m rtppool_echo`."""

import sys

from rtppool_core.process.descriptor_limit import raise_descriptor_limit
from rtppool_core.process.service import run
from rtppool_echo.app import serve

if __name__ == "__main__":
    raise_descriptor_limit()  # reflecting processes inherit it
    sys.exit(run("rtp-echo", serve))
